"""Types of plain data, as pydantic checks them, and the one conversion that it must not make: a boolean to a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

FORBID_UNKNOWN_KEYS: dict[str, Any] = {"extra": "forbid"}  # settings of dataclasses that recipes are read into
NO_NUMBER = "input should be a number"  # in the words of pydantic's other errors


def inner_types(hint: Any) -> Iterator[Any]:
    """A type and the types inside it, however nested: those of `tuple[int, ...] | None` include int and NoneType."""
    yield hint
    for argument in get_args(hint):
        yield from inner_types(argument)


def misplaced_boolean(hint: Any, value: Any) -> tuple[str, ...] | None:
    """The keys of the first boolean in a place of numbers, which pydantic would read as 1 or 0; None without one.

    Args:
        hint: the type that `value` will be read as: a dataclass, or a type of numbers, booleans, texts and tuples.
        value: plain data from YAML or JSON.

    Example:
        >>> from trishift.io.typed import misplaced_boolean
        >>> misplaced_boolean(int | None, True), misplaced_boolean(int | bool, True)
        ((), None)
    """
    types = set(inner_types(hint))
    if isinstance(value, bool):
        return None if bool in types or types.isdisjoint((int, float)) else ()
    if isinstance(value, list | tuple):
        return next((() for entry in value if misplaced_boolean(hint, entry) is not None), None)
    if isinstance(value, Mapping):
        for key, entry_hint in _entries(types).items():
            below = misplaced_boolean(entry_hint, value.get(key))
            if below is not None:
                return (key, *below)
    return None


def _entries(types: set[Any]) -> dict[str, Any]:
    """The entries of the section among some types, each with its own type."""
    section: Any = next((each for each in types if is_dataclass(each)), None)
    return {} if section is None else _hints(section)


@cache
def _hints(section: Any) -> dict[str, Any]:
    return get_type_hints(section)
