"""Renamed recipe keys: an old name keeps working for one release, with a warning that gives the new one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from trishift.errors import RecipeError

RENAMED = {  # dotted old key to its present name; remove in release 0.2
    f"{section}.sampling.{old}": new
    for section in ("data", "evaluation")
    for old, new in {
        "legacy_random_test": "legacy_random_evaluation",
        "legacy_paddle_centre": "legacy_paddle_center",
    }.items()
}
_log = logging.getLogger(__name__)


def with_present_names(data: Mapping[str, Any], place: str | None = None, section: str = "") -> dict[str, Any]:
    """Return a copy of a recipe, or of one of its sections, with every key under its current name.

    Args:
        data: plain values.
        place: where they come from, for warnings; None suppresses warnings, for recipes nobody can edit.
        section: the dotted key of `data`, with a trailing dot.

    Raises:
        RecipeError: a key is given under both names.
    """
    present: dict[str, Any] = {}
    for key, value in data.items():
        name = RENAMED.get(f"{section}{key}", key)
        if name != key and name in data:
            raise RecipeError(f"{place or 'recipe'}: {section}{key} is the old name of {name}; remove it")
        if name != key and place is not None:
            _log.warning("%s: %s%s is now called %s; rename it before the next release", place, section, key, name)
        inner = isinstance(value, dict)
        present[name] = with_present_names(value, place, f"{section}{key}.") if inner else value
    return present


def present_key(dotted: str) -> str:
    """Return a dotted key with the current name of its last part."""
    section, dot, _ = dotted.rpartition(".")
    return f"{section}{dot}{RENAMED[dotted]}" if dotted in RENAMED else dotted
