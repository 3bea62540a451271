"""Other names of recipe keys: aliases, and old names, which work for one more release with a warning."""

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
ALIASES = {"train.pretrained": "initial_weights", "input.size": "crop"}  # names that users of other codebases expect
_NAMES = {**RENAMED, **ALIASES}
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
        name = _NAMES.get(f"{section}{key}", key)
        if name != key and name in data:
            kind = "the old" if f"{section}{key}" in RENAMED else "another"
            raise RecipeError(f"{place or 'recipe'}: {section}{key} is {kind} name of {name}; remove one of them")
        if f"{section}{key}" in RENAMED and place is not None:
            _log.warning("%s: %s%s is now called %s; rename it before the next release", place, section, key, name)
        inner = isinstance(value, dict)
        present[name] = with_present_names(value, place, f"{section}{key}.") if inner else value
    return present


def has_old_names(text: str) -> bool:
    """Whether the YAML of a recipe contains a key under an old name."""
    return any(f"{old.rpartition('.')[2]}:" in text for old in RENAMED)


def present_key(dotted: str) -> str:
    """Return a dotted key with the current name of its last part."""
    section, dot, _ = dotted.rpartition(".")
    return f"{section}{dot}{_NAMES[dotted]}" if dotted in _NAMES else dotted
