"""The labeled videos named in a command's arguments."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trishift.errors import RecipeError
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.api import Model
    from trishift.data.dataset import EvaluationSet
    from trishift.data.protocol import Protocol
    from trishift.data.spec import DataSpec
    from trishift.recipe import Recipe


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and `key=value`."""
    parser.add_argument(
        "--config", type=Path, help="recipe that names the data (file or name); default: the checkpoint's"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override of a recipe entry")


def check_recipe(options: argparse.Namespace) -> None:
    """Refuse a wrong recipe or override before the weights are read.

    Raises:
        RecipeError: names it.
    """
    from trishift.recipe import check_entries, load_recipe
    from trishift.recipe.finding import find_recipe

    if options.config:
        options.config = find_recipe(options.config)
        load_recipe(options.config, options.overrides)
    check_entries(options.overrides)


def stored_recipe(options: argparse.Namespace, meta: dict[str, Any]) -> Recipe | None:
    """The recipe of `--config`, else the one in the checkpoint, if there is one."""
    from trishift.recipe import load_recipe, recipe_from_dict

    if options.config:
        return load_recipe(options.config, options.overrides)
    if meta.get("recipe"):
        return recipe_from_dict(meta["recipe"], str(options.checkpoint), options.overrides)
    return None


def required_recipe(options: argparse.Namespace, meta: dict[str, Any]) -> Recipe:
    """`stored_recipe`, which must exist.

    Raises:
        RecipeError: there is none.
    """
    recipe = stored_recipe(options, meta)
    if recipe is None:
        raise RecipeError(f"{options.checkpoint}: contains no recipe; name the data with --config")
    return recipe


def data_of_list(data: DataSpec, filelist: Path, root: Path | None) -> DataSpec:
    """A data section whose validation list is `filelist`, with paths relative to `root` or else to its folder."""
    labels = data.labels
    if labels is not None and data.path(labels).is_file():
        labels = str(data.path(labels))
    elif labels is not None and Path(labels).suffix:
        labels = None  # of the machine that trained: the classes are those in the checkpoint
    clips = None if root is None else str(root)
    return replace(data, root=None, clips=clips, val_list=str(filelist), labels=labels)


def open_labeled(model: Model, data: DataSpec, protocol: Protocol, source: str) -> EvaluationSet:
    """The validation list of a data section, for a model; `source` names its weights.

    Raises:
        DataError, RecipeError: the list cannot be read, or its classes do not fit the model.
    """
    from trishift.data.opening import open_evaluation_set

    dataset = open_evaluation_set(data, model.input, model.spec, protocol, model.labels, source)
    if dataset.num_classes != model.spec.num_classes:
        raise RecipeError(
            f"{data.labels}: {counted(dataset.num_classes, 'class')}, but the checkpoint has {model.spec.num_classes}"
        )
    return dataset
