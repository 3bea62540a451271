"""Matching the class order of a model and its data by name."""

from __future__ import annotations

from collections.abc import Sequence

from trishift.errors import DataError
from trishift.io.wording import shown_first

_NOTHING = frozenset({"nothing", "no gesture", "no action", "no activity", "background"})


def means_nothing(label: str) -> bool:
    """Whether a class has a usual name for the time in which nothing happens.

    Example:
        >>> from trishift.data.classes import means_nothing
        >>> means_nothing("No gesture"), means_nothing("Doing other things")
        (True, False)
    """
    return label.lower().replace("_", " ") in _NOTHING


def are_named(labels: Sequence[str]) -> bool:
    """Whether classes have real names rather than just their numbers."""
    return list(labels) != [str(number) for number in range(len(labels))]


def class_order(names: Sequence[str], reference: Sequence[str], source: str, reference_source: str) -> tuple[int, ...]:
    """Find the index in `reference` of each class in `names`.

    If either side has only numbers, the order is kept.

    Args:
        names: K class names.
        reference: K class names in the target order.
        source: origin of `names`, for errors.
        reference_source: origin of `reference`, for errors.

    Returns:
        K indices; `range(K)` if the order is the same.

    Raises:
        DataError: the two sets of names differ.

    Example:
        >>> from trishift.data.classes import class_order
        >>> class_order(["walk", "run"], ["run", "walk"], "labels.txt", "model.safetensors")
        (1, 0)
    """
    if len(names) == len(reference) and not (are_named(names) and are_named(reference)):
        return tuple(range(len(names)))
    places = {name: place for place, name in enumerate(reference)}
    unknown = [name for name in names if name not in places]
    known = set(names)
    lacking = [name for name in reference if name not in known]
    if unknown or lacking:
        details = [
            f"{len(found)} only in {where} ({shown_first([*map(repr, found)], 3)})"
            for found, where in ((unknown, source), (lacking, reference_source))
            if found
        ]
        raise DataError(f"{source}: classes differ from {reference_source}: {'; '.join(details)}")
    return tuple(places[name] for name in names)
