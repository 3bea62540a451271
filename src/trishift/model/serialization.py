"""Model descriptions as plain JSON types, as checkpoints store them."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any, TypeVar, cast

from trishift.errors import RecipeError
from trishift.io.typed import NO_NUMBER, misplaced_boolean
from trishift.model.motion import MotionSpec
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec

_Spec = TypeVar("_Spec", ShiftSpec, MotionSpec, HeadSpec, ModelSpec, InputSpec)


def to_json(spec: Any) -> dict[str, Any]:
    """A spec as plain JSON types."""
    return dataclasses.asdict(spec)


def from_json(cls: type[_Spec], data: dict[str, Any]) -> _Spec:
    """Inverse of `to_json`.

    Raises:
        RecipeError: a key is unknown (for instance, from a newer version), or a value has the wrong type or is
            inconsistent with others.
    """
    from pydantic import ValidationError

    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise RecipeError(f"{cls.__name__}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    keys = misplaced_boolean(cls, data)
    if keys is not None:
        raise RecipeError(f"{cls.__name__}: {'.'.join(keys)}: {NO_NUMBER}, not a boolean")
    try:
        spec: _Spec = _adapter(cast(Any, cls)).validate_python(data)
    except ValidationError as error:
        problem = error.errors()[0]
        place, found = ".".join(map(str, problem["loc"])), repr(problem["input"])[:60]
        reason = problem["msg"].lower()
        if problem["type"] == "literal_error":  # whose list of choices is long
            raise RecipeError(f"{cls.__name__}: {place}: {found} is unknown; {reason}") from None
        raise RecipeError(f"{cls.__name__}: {place}: {reason}, not {found}") from None
    return spec


@lru_cache
def _adapter(cls: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)
