"""Checks of numbers in augmentation sections."""

from __future__ import annotations

from trishift.errors import RecipeError

Range = tuple[float, float]


def check_range(key: str, bounds: Range, low: float, high: float) -> None:
    """Raise a RecipeError unless low < bounds[0] <= bounds[1] <= high."""
    if not low < bounds[0] <= bounds[1] <= high:
        raise RecipeError(
            f"{key}: {list(bounds)} is not a range within ({low:g}, {high:g}]; give the smaller number first"
        )


def check_share(key: str, value: float, high: float = 1.0) -> None:
    """Raise a RecipeError unless 0 <= value <= high."""
    if not 0 <= value <= high:
        raise RecipeError(f"{key}: {value:g} is not in [0, {high:g}]")
