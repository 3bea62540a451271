"""`trishift probe`: the accuracy of a linear classifier on frozen features, which training has to beat."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from trishift.commands.shared.arguments import add_framework
from trishift.commands.shared.outputs import add_json, notes_aside, print_json, status
from trishift.commands.shared.own_clips import add_own_clips, open_clips, recipe_of
from trishift.commands.shared.parser import make_parser

EXAMPLES = """\
  trishift probe my_clips --from mobilenet_v2.safetensors
  trishift probe my_clips --from tsm_kinetics.pth --groups '_(person[0-9]+)_'
  trishift probe data/custom --from runs/gestures-tsm --folds 5 --framework mindspore input.crop=112
"""


def main(arguments: list[str]) -> None:
    """Parse, extract features, fit, print and write."""
    parser = make_parser("probe", "Fit a linear classifier to frozen features: the number to beat.", EXAMPLES)
    add_own_clips(parser, "probe")
    add_framework(parser)
    add_json(parser)
    options = parser.parse_intermixed_args(arguments)

    from trishift.io.atomic import write_text
    from trishift.training.probe_study import save_probe, study_probe
    from trishift.training.transfer import open_transfer

    with notes_aside(options):
        output, folds = open_clips(options)
        recipe = recipe_of(options, folds)
        session = open_transfer(recipe, options.framework, folds.labels)
        study = study_probe(recipe, session, folds)
        save_probe(output / "probe.safetensors", recipe, session, study)
        write_text(output / "probe.json", json.dumps(study.summary(), indent=2) + "\n")
    written = f"written: {output / 'probe.safetensors'} (fitted to all clips), probe.json"
    if options.json:
        print_json(study.summary())
        status(written)
        return
    print(f"{study.report()}\n{written}")
    print(_next(options, output / "probe.safetensors"))


def _next(options: argparse.Namespace, checkpoint: Path) -> str:
    words = [str(options.clips), "--from", str(options.weights)]
    words += ["--groups", options.groups] if options.groups else []
    words += ["--folds", str(options.folds)] if options.folds else []
    return (
        f"next: trishift infer --checkpoint {shlex.quote(str(checkpoint))} VIDEO\n"
        f"or train the whole network: trishift finetune {shlex.join(words)}"
    )
