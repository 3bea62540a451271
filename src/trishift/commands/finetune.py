"""`trishift finetune`: from your own clips to a model, through the probe, folds and seeds."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import add_framework
from trishift.commands.shared.outputs import add_json, notes_aside, print_json
from trishift.commands.shared.own_clips import add_own_clips, open_clips, output_of, recipe_of
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.reports import add_no_report, attempt_report
from trishift.commands.shared.stored import place_of, written_folder
from trishift.errors import RecipeError

if TYPE_CHECKING:
    from trishift.io.storage.folders import FolderCopy

EXAMPLES = """\
  trishift finetune my_clips --from mobilenet_v2.safetensors
  trishift finetune my_clips --from tsm-r50-8f-k400 --time 2h --groups 'labels.csv:person'
  trishift finetune data/custom --from runs/gestures-tsm --folds 5 --seeds 1,2,3 --framework paddle
"""


def main(arguments: list[str]) -> None:
    """Parse, prepare, check, probe, fine-tune in every fold, and write the better model."""
    parser = make_parser("finetune", "Adapt weights to your clips; never worse than the probe.", EXAMPLES)
    add_own_clips(parser, "finetune")
    add_framework(parser)
    parser.add_argument("--time", help="time for all runs, such as 30m or 2h; default: the recipe's epochs")
    parser.add_argument(
        "--seeds", default="1", help="seeds, separated by commas, each trained in every fold; default: 1"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace another fine-tuning in the output folder")
    add_no_report(parser)
    add_json(parser)
    options = parser.parse_intermixed_args(arguments)

    from trishift.training.budget import read_time

    seeds = _seeds(options.seeds)
    limit = read_time(options.time) if options.time else None
    named = output_of(options)
    with written_folder(named, named, continues=True) as copy:
        options.output = named if copy is None else copy.folder
        _finetune(options, seeds, limit, copy)


def _finetune(options: argparse.Namespace, seeds: Sequence[int], limit: float | None, copy: FolderCopy | None) -> None:
    """Do everything in the output folder, of which there may be a copy in a store."""
    from trishift.evaluation.scores import HELD_OUT, write_scores
    from trishift.reporting.evaluation import write_result
    from trishift.training.finetune import MODEL, ON_ALL, FineTuning, finetune

    with notes_aside(options):
        output, folds = open_clips(options)
        recipe = recipe_of(options, folds)
        tuning = FineTuning(recipe, options.framework, folds, seeds, output.absolute(), copy=copy)
        comparison = finetune(tuning, limit=limit, overwrite=options.overwrite)
    held_out = comparison.held_out(str(tuning.recipe.evaluation))
    write_scores(held_out, (output / HELD_OUT).with_suffix(".scores.npz"))
    write_result(held_out, output / HELD_OUT, folds=comparison.by_fold())
    if options.json:
        print_json(comparison.summary())
    else:
        print(f"\n{comparison.table()}\n\nprobe:      {comparison.study.result}\nfine-tuned: {comparison.result}")
        print(comparison.verdict())
    if not options.no_report:
        if comparison.beats_probe:
            attempt_report(output / ON_ALL, copy=copy)
        attempt_report(output / HELD_OUT, copy=copy)
    with notes_aside(options):
        print(f"written: {place_of(output / MODEL, copy)}, summary.json, {HELD_OUT} and one folder per run")
        print(f"next: trishift infer --checkpoint {shlex.quote(place_of(output, copy))} VIDEO")


def _seeds(text: str) -> tuple[int, ...]:
    """The seeds of `1,2,3`.

    Raises:
        RecipeError: they are not whole numbers, or one is repeated.
    """
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise RecipeError(f"--seeds {text}: write whole numbers separated by commas, such as 1,2,3") from None
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise RecipeError(f"--seeds {text}: each seed must be 0 or more and named once")
    return seeds
