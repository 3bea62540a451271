"""`trishift config`: show a recipe as it would run, its differences, and the keys of recipes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.outputs import add_json, print_json
from trishift.commands.shared.parser import make_parser
from trishift.errors import RecipeError
from trishift.io.wording import did_you_mean

if TYPE_CHECKING:
    from trishift.recipe import Recipe

EXAMPLES = """\
  trishift config gestures/tsm train.lr=0.02                   (the recipe with everything it inherits)
  trishift config runs/gestures-tsm --diff                     (what it changes of the defaults)
  trishift config custom/finetune --diff gestures/tsm
  trishift config --keys batch_size
"""
_DEFAULTS = "defaults"


def main(arguments: list[str]) -> None:
    """Parse and print."""
    parser = make_parser("config", "Show a recipe with everything it inherits, or the keys of recipes.", EXAMPLES)
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="YAML file, name such as gestures/tsm, or run folder"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a recipe entry")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--print", action="store_true", help="print the resolved recipe as YAML; the default")
    shown.add_argument(
        "--diff",
        nargs="?",
        const=_DEFAULTS,
        metavar="OTHER",
        help="print only what differs from another recipe; default: from the defaults of all recipes",
    )
    shown.add_argument(
        "--keys",
        nargs="?",
        const="",
        metavar="WORD",
        help="list all keys, or those that contain a word, with their meaning",
    )
    add_json(parser)
    options = parser.parse_intermixed_args(arguments)
    if options.keys is not None:
        _print_keys(options.keys, as_json=options.json)
        return
    if options.recipe is None:
        raise RecipeError("config: no recipe is given; name one, for instance gestures/tsm, or list all --keys")
    recipe = _load(options.recipe, options.overrides)
    if options.diff is None:
        _print_recipe(recipe, as_json=options.json)
    else:
        _print_differences(recipe, options)


def _load(name: str, overrides: Sequence[str] = ()) -> Recipe:
    from trishift.recipe import Recipe, load_recipe

    if name == _DEFAULTS:
        return Recipe()
    path = Path(name)
    recorded = path.is_dir()
    return load_recipe(path / "recipe.yaml" if recorded else path, overrides, recorded=recorded)


def _print_recipe(recipe: Recipe, *, as_json: bool) -> None:
    from trishift.recipe import recipe_to_dict
    from trishift.recipe.reading import recipe_text

    if as_json:
        print_json(recipe_to_dict(recipe))
    else:
        print(recipe_text(recipe), end="")


def _print_differences(recipe: Recipe, options: argparse.Namespace) -> None:
    from trishift.recipe.keys import differences

    found = differences(recipe, _load(options.diff))
    if options.json:
        print_json({name: {"from": before, "to": after} for name, before, after in found})
        return
    for name, before, after in found:
        print(f"{name}: {before} -> {after}")
    if not found:
        print(f"{options.recipe} and {options.diff} are equal")


def _print_keys(word: str, *, as_json: bool) -> None:
    from trishift.recipe.keys import recipe_sections

    keys = [key for section in recipe_sections() for key in section.keys]
    chosen = [key for key in keys if word.lower() in f"{key.name} {key.meaning}".lower()]
    if not chosen:
        names = [key.name for key in keys]
        raise RecipeError(
            f"--keys {word}: no key contains this{did_you_mean(word, names, 0.5) or '; list all with --keys'}"
        )
    if as_json:
        print_json([asdict(key) for key in chosen])
    else:
        print("\n".join(map(str, chosen)))
