"""`trishift train`: train a recipe in a framework."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import add_framework, check_positive
from trishift.commands.shared.devices import AUTO, add_device, device_of
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.reports import add_no_report, attempt_report
from trishift.errors import RecipeError
from trishift.io.regular import is_remote

if TYPE_CHECKING:
    from trishift.training.stored_run import StoredRun

EXAMPLES = """\
  trishift train --config gestures/tsm
  trishift train --config configs/gestures/tsm.yaml --framework mindspore train.epochs=4 train.lr=0.01
  trishift train --framework paddle --resume runs/gestures-tsm
  trishift train --config gestures/tsm --output s3://bucket/runs/tsm
"""
_LAUNCHERS = {  # as in scripts/launch.sh
    "pytorch": "torchrun --nproc_per_node {0}",
    "mindspore": "msrun --worker_num {0} --local_worker_num {0} --join=True",
    "paddle": "python -m paddle.distributed.launch --nproc_per_node {0}",
}


def main(arguments: list[str]) -> None:
    """Parse the arguments and train."""
    parser = make_parser("train", "Train a recipe; append key=value to override any of its entries.", EXAMPLES)
    parser.add_argument(
        "--config",
        type=Path,
        help="recipe: a YAML file, or a name such as gestures/tsm; default with --resume: the run's own",
    )
    add_framework(parser)
    add_device(parser, "the recipe's execution.device, else auto, the best device that the framework finds")
    parser.set_defaults(device=None)
    parser.add_argument(
        "--output",
        type=Path,
        help="run folder, here or in a store (s3://...); default: runs/<recipe name>, or the resumed folder",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", type=Path, help="run folder or last.safetensors to resume, also in a store")
    start.add_argument(
        "--overwrite", action="store_true", help="replace the run in the folder; default: a new folder, runs/NAME-2"
    )
    parser.add_argument(
        "--until", type=int, metavar="EPOCH", help="stop after this epoch (counted from 1); --resume continues"
    )
    parser.add_argument(
        "--devices", type=int, default=1, metavar="N", help="show the command that trains in N processes; default: 1"
    )
    add_no_report(parser)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a recipe entry")
    options = parser.parse_intermixed_args(arguments)
    check_positive(options, "devices")
    if options.devices > 1:
        raise RecipeError(_launched(options.framework, options.devices, arguments))

    from trishift.recipe import RecipeFile
    from trishift.training.run import train
    from trishift.training.run_folder import run_to_resume
    from trishift.training.run_record import Origin
    from trishift.training.stored_run import resumable

    resume = options.resume and resumable(options.resume)
    folder = resume and run_to_resume(resume)
    config = options.config or (folder and folder / "recipe.yaml")
    if config is None:
        raise RecipeError("train: no recipe is given; add --config RECIPE, for instance --config gestures/tsm")
    file, overrides = RecipeFile(config, recorded=options.config is None), options.overrides
    if options.device or not file.sets(overrides, "execution.device"):
        options.device = options.device or AUTO
        overrides = [*overrides, f"execution.device={device_of(options)}"]
    recipe = file.resolve(overrides)
    output, copy = _output(options, folder, recipe.name)
    alone = not recipe.execution.distributed  # a framework that has left a group of processes may crash on a new model
    origin = Origin(["train", *arguments])
    if options.config and not folder:
        origin = Origin.of_recipe(origin.command, str(options.config), file, recipe)
    report = partial(attempt_report, framework=options.framework, films=alone, copy=copy)
    train(
        recipe,
        options.framework,
        output,
        resume=resume,
        until=options.until,
        overwrite=options.overwrite,
        origin=origin,
        done=report if recipe.log.report and not options.no_report else str,
        copy=copy,
    )


def _output(options: argparse.Namespace, resumed: Path | None, name: str) -> tuple[Path, StoredRun | None]:
    """The run folder, and its copy if it is asked for in a store."""
    from trishift.training.stored_run import StoredRun, run_address

    again = run_address(options.resume) if options.resume and is_remote(options.resume) else ""
    output: Path = options.output or (Path(again) if again else resumed) or Path("runs") / name
    if not is_remote(output):
        return output, None
    same = again == run_address(output)
    copy = StoredRun(output, resumes=same, overwrite=options.overwrite)
    return copy.folder, copy


def _launched(framework: str, count: int, arguments: list[str]) -> str:
    """The message for `--devices`: training processes exchange gradients, so the framework's launcher starts them."""
    kept = [
        word
        for previous, word in zip(["", *arguments], arguments, strict=False)
        if previous != "--devices" and word.partition("=")[0] != "--devices"
    ]
    words = shlex.join([*kept, "execution.distributed=true"])
    return (
        f"--devices {count}: training in several processes is started by a launcher; run "
        f'{_LAUNCHERS[framework].format(count)} "$(command -v trishift)" train {words}'
    )
