"""Recipes: their sections, and how YAML files are read into them."""

from trishift.recipe.reading import (
    check_entries,
    load_recipe,
    recipe_from_dict,
    recipe_to_dict,
    save_recipe,
    sets_key,
)
from trishift.recipe.sections import Recipe, TrainSpec

__all__ = [
    "Recipe",
    "TrainSpec",
    "check_entries",
    "load_recipe",
    "recipe_from_dict",
    "recipe_to_dict",
    "save_recipe",
    "sets_key",
]
