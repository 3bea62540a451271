"""`trishift eval`: evaluate weights on a list of videos under a protocol."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trishift.commands.shared.arguments import (
    add_checkpoint,
    add_execution,
    add_framework,
    add_import_options,
    add_protocol,
    add_reading,
    add_runtime,
    check_positive,
)
from trishift.commands.shared.inputs import check_protocol, load_model
from trishift.commands.shared.labeled import add_recipe, check_recipe, open_labeled, required_recipe
from trishift.commands.shared.outputs import (
    add_json,
    add_strict,
    notes_aside,
    print_json,
    report_misses,
    status,
)
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.parts import add_devices, parts
from trishift.commands.shared.reports import add_no_report, attempt_report
from trishift.commands.shared.stored import place_of, written_file
from trishift.evaluation.shards import Shard

if TYPE_CHECKING:
    from trishift.evaluation.evaluator import Evaluation
    from trishift.io.storage.folders import FolderCopy

EXAMPLES = """\
  trishift eval --checkpoint runs/gestures-tsm/best.safetensors
  trishift eval --checkpoint tsm_k400.pth --num-segments 8 --config configs/kinetics/tsm_r50_8f.yaml \\
      --framework paddle --protocol dense --output result.json
  trishift eval --checkpoint best.onnx --runtime openvino --precision bf16
"""


def main(arguments: list[str]) -> None:
    """Parse, evaluate, print and write."""
    options = _parser().parse_intermixed_args(arguments)
    check_positive(options, "batch_size", "workers", "devices")

    from trishift.data.protocol import named_protocol

    check_recipe(options)
    shard = Shard.parse(options.shard)
    if options.protocol:
        named_protocol(options.protocol)  # refuses unknown names before the work
    with written_file(options.output, [".json"]) as (output, copy):
        evaluation = _evaluated(options, shard, output, copy)
    report_misses(evaluation.misses, len(evaluation.names) + len(evaluation.misses), strict=options.strict)


def _evaluated(options: argparse.Namespace, shard: Shard, output: Path | None, copy: FolderCopy | None) -> Evaluation:
    """Evaluate, print, and write to `output`."""
    from trishift.evaluation.evaluator import joined
    from trishift.evaluation.merging import SHARD
    from trishift.reporting.evaluation import reliability_line, result_of, write_evaluation

    with notes_aside(options), parts(options, _evaluate) as streams:
        opened = [next(stream) for stream in streams]
        status(opened[0].report)
        evaluation = joined([next(stream) for stream in streams])
    if shard.count == 1:
        evaluation.check()
    part = {SHARD: str(shard)} if shard.count > 1 else {}
    context = {"checkpoint": str(options.checkpoint), "framework": opened[0].framework, **part}
    if options.json:
        print_json(result_of(evaluation, **context))
    else:
        print(f"{evaluation}\n{reliability_line(evaluation)}")
    if output is not None:
        written = write_evaluation(evaluation, output, **context)
        status(f"written: {written.replace(str(output), place_of(output, copy))}")
        if evaluation.measurable and not options.no_report:
            attempt_report(output, opened[0].framework, copy=copy)
    return evaluation


@dataclass(frozen=True)
class _Opened:
    """The model of a process: its report and its framework."""

    report: str
    framework: str


def _evaluate(options: argparse.Namespace, part: Shard) -> Iterator[Any]:
    """Yield the opened model, then the evaluation of a part of the list."""
    from trishift.data.protocol import named_protocol
    from trishift.evaluation.evaluator import evaluate_part

    model = load_model(options)
    asked = named_protocol(options.protocol) if options.protocol else None
    recipe = required_recipe(options, model.meta)
    protocol = asked or recipe.evaluation
    check_protocol(model, protocol)
    yield _Opened(str(model.report), model.session.framework)
    dataset = open_labeled(model, recipe.data, protocol, str(options.checkpoint))
    listed = Shard.parse(options.shard).of(range(len(dataset)), options.batch_size)
    mine = part.of(listed, options.batch_size)
    workers = options.workers or recipe.data.workers
    evaluation = evaluate_part(model.session, dataset, mine, batch_size=options.batch_size, workers=workers)
    yield replace(evaluation, temperature=model.calibration.temperature)
    model.session.close()


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("eval", "Evaluate weights; key=value overrides entries of the recipe.", EXAMPLES)
    add_checkpoint(parser, "weights of any family, or an exported model")
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    add_protocol(parser, "the recipe's")
    parser.add_argument(
        "--output",
        type=Path,
        help="result.json, here or in a store; scores, per-class results and a report are beside it",
    )
    add_no_report(parser)
    add_json(parser)
    add_reading(parser)
    add_devices(parser)
    parser.set_defaults(workers=None)
    add_strict(parser)
    add_recipe(parser)
    return parser
