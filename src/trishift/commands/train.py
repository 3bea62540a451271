"""`trishift train`: train a recipe in a framework."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

from trishift.commands.shared.arguments import add_framework, check_positive
from trishift.commands.shared.devices import AUTO, add_device, device_of
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.reports import add_no_report, attempt_report
from trishift.errors import RecipeError

EXAMPLES = """\
  trishift train --config gestures/tsm
  trishift train --config configs/gestures/tsm.yaml --framework mindspore train.epochs=4 train.lr=0.01
  trishift train --framework paddle --resume runs/gestures-tsm
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
    parser.add_argument("--output", type=Path, help="run folder; default: runs/<recipe name>, or the resumed folder")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", type=Path, help="run folder or last.safetensors to resume, from any framework")
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

    folder = options.resume and run_to_resume(options.resume)
    config = options.config or (folder and folder / "recipe.yaml")
    if config is None:
        raise RecipeError("train: no recipe is given; add --config RECIPE, for instance --config gestures/tsm")
    file, overrides = RecipeFile(config, recorded=options.config is None), options.overrides
    if options.device or not file.sets(overrides, "execution.device"):
        options.device = options.device or AUTO
        overrides = [*overrides, f"execution.device={device_of(options)}"]
    recipe = file.resolve(overrides)
    output = options.output or folder or Path("runs") / recipe.name
    alone = not recipe.execution.distributed  # a framework that has left a group of processes may crash on a new model
    origin = Origin(["train", *arguments])
    if options.config and not folder:
        origin = Origin.of_recipe(origin.command, str(options.config), file, recipe)
    report = partial(attempt_report, framework=options.framework, films=alone)
    train(
        recipe,
        options.framework,
        output,
        resume=options.resume,
        until=options.until,
        overwrite=options.overwrite,
        origin=origin,
        done=report if recipe.log.report and not options.no_report else str,
    )


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
