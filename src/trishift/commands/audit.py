"""`trishift audit`: whether a task needs time, or single frames do."""

from __future__ import annotations

import argparse
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import (
    add_checkpoint,
    add_execution,
    add_framework,
    add_import_options,
    add_protocol,
    add_runtime,
    check_positive,
)
from trishift.commands.shared.inputs import check_protocol, load_model
from trishift.commands.shared.labeled import add_recipe, open_labeled, required_recipe
from trishift.commands.shared.outputs import (
    add_json,
    add_strict,
    check_file,
    notes_aside,
    print_json,
    report_misses,
    status,
)
from trishift.commands.shared.parser import make_parser
from trishift.zoo.sources import WeightSource

if TYPE_CHECKING:
    from trishift.evaluation.auditing import Audited

EXAMPLES = """\
  trishift audit --checkpoint runs/gestures-tsm
  trishift audit --checkpoint tsm_k400.pth --num-segments 8 --config kinetics/tsm_r50_8f --output audit.html
  trishift audit --checkpoint runs/fold-0 --folds runs/fold-1 runs/fold-2
"""


def main(arguments: list[str]) -> None:
    """Parse, evaluate under all alterations, print and write."""
    options = _parser().parse_intermixed_args(arguments)
    check_positive(options, "batch_size", "workers")

    from trishift.evaluation.auditing import Audited
    from trishift.evaluation.findings import Findings
    from trishift.io.atomic import write_text
    from trishift.reporting.audit import WRITERS

    for path in options.output:
        check_file(path, list(WRITERS))
    for weights in (options.checkpoint, *options.folds):
        weights.check()
    parts = []
    with notes_aside(options):
        for weights in (options.checkpoint, *options.folds):
            options.checkpoint = weights
            parts.append(_audited(options))
    audited = reduce(Audited.joined, parts)
    findings = Findings(audited)
    if options.json:
        print_json(findings.summary())
    else:
        print(findings.report())
    for path in options.output:
        write_text(path, WRITERS[path.suffix](findings))
        status(f"written: {path}")
    report_misses(audited.misses, len(audited.names) + len(audited.misses), strict=options.strict)


def _audited(options: argparse.Namespace) -> Audited:
    from trishift.data.protocol import named_protocol
    from trishift.evaluation.auditing import audit

    model = load_model(options)
    recipe = required_recipe(options, model.meta)
    protocol = named_protocol(options.protocol) if options.protocol else recipe.evaluation
    check_protocol(model, protocol)
    dataset = open_labeled(model, recipe.data, protocol, str(options.checkpoint))
    workers = options.workers or recipe.data.workers
    return audit(model.session, model.input, dataset, batch_size=options.batch_size, workers=workers)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "audit", "Evaluate with frames reversed, shuffled, alone and fewer: does the task need time?", EXAMPLES
    )
    add_checkpoint(parser, "weights of any family")
    text = "weights of the other folds of a cross-validation, each on its own list; give key=value first"
    parser.add_argument("--folds", type=WeightSource, nargs="+", default=[], metavar="WEIGHTS", help=text)
    add_framework(parser)
    add_runtime(parser, layers=True)
    add_execution(parser)
    add_import_options(parser)
    add_protocol(parser, "the recipe's")
    parser.add_argument("--batch-size", type=int, default=8, help="videos and views per forward pass; default: 8")
    parser.add_argument("--workers", type=int, help="threads or processes that read clips; default: the recipe's")
    text = "page (.html) or all figures and intervals (.json); several are possible"
    parser.add_argument("--output", type=Path, nargs="+", default=[], metavar="FILE", help=text)
    add_json(parser)
    add_strict(parser)
    add_recipe(parser)
    return parser
