"""One order of classes for a model and its data."""

from __future__ import annotations

from collections.abc import Sequence

from trishift.errors import DataError


def are_named(labels: Sequence[str]) -> bool:
    """Whether classes have names, and are not just called by their numbers."""
    return list(labels) != [str(number) for number in range(len(labels))]


def class_order(names: Sequence[str], reference: Sequence[str], source: str, reference_source: str) -> tuple[int, ...]:
    """The place of each class of `names` in `reference`.

    Classes that are only numbered keep their places.

    Args:
        names: K class names.
        reference: K class names, in the order to map to.
        source: origin of `names`, for errors.
        reference_source: origin of `reference`, for errors.

    Returns:
        K indices; `range(K)` where the order is the same.

    Raises:
        DataError: the two are not the same set of names.

    Example:
        >>> from trishift.data.classes import class_order
        >>> class_order(["walk", "run"], ["run", "walk"], "labels.txt", "model.safetensors")
        (1, 0)
    """
    if len(names) == len(reference) and not (are_named(names) and are_named(reference)):
        return tuple(range(len(names)))
    places = {name: place for place, name in enumerate(reference)}
    unknown = [name for name in names if name not in places]
    lacking = [name for name in reference if name not in set(names)]
    if unknown or lacking:
        details = [
            f"{len(found)} only in {where} ({', '.join(map(repr, found[:3]))}{', ...' if len(found) > 3 else ''})"
            for found, where in ((unknown, source), (lacking, reference_source))
            if found
        ]
        raise DataError(f"{source}: other classes than {reference_source}: {'; '.join(details)}")
    return tuple(places[name] for name in names)
