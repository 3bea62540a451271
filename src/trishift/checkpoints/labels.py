"""Class names shipped with the package, and when imported weights receive them."""

from __future__ import annotations

from trishift.checkpoints.answers import Answers
from trishift.data.lists import find_labels, read_labels
from trishift.data.lists.class_names import SHIPPED
from trishift.errors import CheckpointError, DataError
from trishift.io.wording import counted


def shipped_labels(name: str) -> tuple[str, ...]:
    """Return the class names of a shipped list, in label order."""
    return read_labels(SHIPPED / f"{name}.txt")


def labels_for(num_classes: int, candidates: tuple[str, ...], answers: Answers) -> tuple[str, ...] | None:
    """Return the class names requested by the user, else the only list of `candidates` with a matching length.

    Raises:
        CheckpointError: the requested list is missing or has another number of names.
    """
    wanted = answers.given("labels")
    if wanted == "none" or (wanted is None and not num_classes):
        return None
    if wanted is None:
        fitting = [name for name in candidates if len(shipped_labels(name)) == num_classes]
        if len(fitting) != 1:
            return None
        answers.notes.append(
            f"labels={fitting[0]} (the only known data set of {num_classes} classes; labels=none drops them)"
        )
        return shipped_labels(fitting[0])
    labels = _read(wanted)
    if len(labels) != num_classes:
        raise CheckpointError(f"labels={wanted}: {counted(len(labels), 'name')} for {counted(num_classes, 'class')}")
    return labels


def _read(wanted: str) -> tuple[str, ...]:
    path = find_labels(wanted)
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.txt")))
        raise CheckpointError(f"labels={wanted}: no such file, and no shipped list; known: {known}, none")
    try:
        return read_labels(path)
    except DataError as error:
        raise CheckpointError(f"labels: {error}") from error
