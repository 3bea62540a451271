"""Arguments of the commands that adapt weights to your own clips."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.backends import check_framework
from trishift.commands.shared.devices import AUTO, add_device, device_of, named_device
from trishift.commands.shared.outputs import check_folder
from trishift.zoo.sources import WeightSource

if TYPE_CHECKING:
    from trishift.data.prepare.folds import Folds
    from trishift.recipe import Recipe

CONFIG = Path("custom/finetune")


def add_own_clips(parser: argparse.ArgumentParser, command: str) -> None:
    """Add `CLIPS`, `--from`, `--folds`, `--groups`, `--config`, `--output`, `--device` and `key=value`."""
    parser.add_argument("clips", type=Path, metavar="CLIPS", help="folder with one folder of clips per class, or lists")
    parser.add_argument(
        "--from",
        dest="weights",
        type=WeightSource,
        required=True,
        help="weights of images or videos: a file of any family, a published name, or an address",
    )
    parser.add_argument("--folds", type=int, help="folds of the cross-validation; default: those of the lists, else 5")
    parser.add_argument(
        "--groups",
        help="clips that must stay together: FILE.csv:COLUMN (with a column path), or a regular expression "
        "whose first capture group in a clip's path is the group",
    )
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"recipe; default: {CONFIG}")
    parser.add_argument("--output", type=Path, help=f"output folder; default: runs/CLIPS-{command}")
    add_device(parser)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a recipe entry")
    parser.set_defaults(command=command)


def open_clips(options: argparse.Namespace) -> tuple[Path, Folds]:
    """Check all options, then make the output folder and divide the clips, whose lists go below it if they have none.

    Raises:
        TrishiftError: an option is wrong; no clip has been read.
        DataError: the clips cannot be used.
    """
    from trishift.data.prepare.folds import check_request, open_folds

    check_request(options.clips, options.folds)
    check_framework(options.framework)
    if options.device != AUTO:
        options.device = named_device(options.device)
    options.weights.check()
    _check_recipe(options)
    output = output_of(options)
    check_folder(output)
    return output, open_folds(options.clips, output / "data", folds=options.folds, groups=options.groups)


def output_of(options: argparse.Namespace) -> Path:
    """The output folder that the arguments name, or else one that is named after the clips."""
    return options.output or Path("runs") / f"{options.clips.absolute().name}-{options.command}"


def _check_recipe(options: argparse.Namespace) -> None:
    """Refuse a wrong recipe, and overrides that do not fit it with the network of the weights."""
    from trishift.recipe import check_entries, load_recipe
    from trishift.recipe.finding import find_recipe
    from trishift.training.transfer import check_overrides

    options.config = find_recipe(options.config)
    recipe = load_recipe(options.config)
    check_entries(options.overrides)  # before a download
    check_overrides(recipe, options.weights, options.overrides)


def recipe_of(options: argparse.Namespace, folds: Folds) -> Recipe:
    """The recipe for the weights of `--from` and the clips."""
    from trishift.recipe import RecipeFile
    from trishift.training.transfer import recipe_for

    file, overrides = RecipeFile(options.config), list(options.overrides)
    if options.device != AUTO or not file.sets(overrides, "execution.device"):
        overrides.append(f"execution.device={device_of(options)}")
    return recipe_for(file.resolve(), options.weights, folds, overrides)
