"""Recipes: their sections, and how YAML files are read into them."""

from trishift.recipe.reading import (
    RecipeFile,
    check_entries,
    load_recipe,
    recipe_from_dict,
    recipe_to_dict,
    save_recipe,
)
from trishift.recipe.sections import Recipe, TrainSpec

__all__ = [
    "Recipe",
    "RecipeFile",
    "TrainSpec",
    "check_entries",
    "load_recipe",
    "recipe_from_dict",
    "recipe_to_dict",
    "save_recipe",
]
