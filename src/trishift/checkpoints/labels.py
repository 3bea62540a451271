"""Class names shipped with the package, and when imported weights receive them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from trishift.checkpoints.answers import Answers
from trishift.data.lists import read_labels
from trishift.errors import CheckpointError, DataError

SHIPPED = ("jester",)  # src/trishift/data/labels/<name>.txt


def shipped_labels(name: str) -> tuple[str, ...]:
    """Return the class names of a shipped list, in label order."""
    return tuple((resources.files("trishift.data") / "labels" / f"{name}.txt").read_text("utf-8").splitlines())


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
        raise CheckpointError(f"labels={wanted}: {len(labels)} names for {num_classes} classes")
    return labels


def _read(wanted: str) -> tuple[str, ...]:
    if wanted in SHIPPED:
        return shipped_labels(wanted)
    try:
        return read_labels(Path(wanted))
    except DataError as error:
        raise CheckpointError(f"labels: {error}") from error
