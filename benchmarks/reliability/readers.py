"""The attacked readers: valid files to damage, deliberate inputs, and the calls that read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reader:
    """A reader of files from outside.

    Attributes:
        title: the input, for the table.
        seeds: writes valid files and folders into a folder; each entry is a seed of mutations.
        hostile: writes deliberate inputs into a folder; each entry is an input.
        read: reads an input completely; the second argument is an empty folder for output.
        seconds: bound on the processor time per input.
        megabytes: bound on additional memory per input.
    """

    title: str
    seeds: Callable[[Path], None]
    hostile: Callable[[Path], None]
    read: Callable[[Path, Path], object]
    seconds: float = 5.0
    megabytes: int = 300


def readers() -> dict[str, Reader]:
    """All readers by name."""
    from benchmarks.reliability import (
        annotation_readers,
        archive_readers,
        list_readers,
        picture_readers,
        recipe_readers,
        result_readers,
        video_readers,
        weight_readers,
    )

    tables = (weight_readers, result_readers, recipe_readers, list_readers, annotation_readers, video_readers)
    return {name: each for table in (*tables, picture_readers, archive_readers) for name, each in table.READERS.items()}
