"""Small things that several parts of the preparation share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trishift.errors import DataError
from trishift.io.atomic import make_folder, staged_together, write_text

REPORT = "report.json"


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; it appears complete or not at all, in a folder that is made if missing."""
    make_folder(path.parent)
    write_text(path, json.dumps(content, indent=1) + "\n")


@contextmanager
def replacing(folder: Path, force: bool) -> Iterator[Path]:
    """A temporary folder for lists, labels and a report, which move to `folder` together when the block ends.

    What is there already stays: an existing file may only be written with the same content. `report.json` may
    change; it describes the last run.

    Args:
        folder: made if missing.
        force: replace other content.

    Raises:
        DataError: `folder` holds other lists or labels, and `force` is not set. Nothing was changed then.
        OutputError: the operating system refuses.
    """
    with staged_together(folder, "lists") as fresh:
        yield fresh
        for new in sorted(fresh.iterdir()):
            old = folder / new.name
            if not force and new.name != REPORT and old.exists() and old.read_bytes() != new.read_bytes():
                raise DataError(f"{old}: exists and differs; choose another output folder, or --force to replace it")


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without byte order mark; other bytes survive in names of files."""
    try:
        return path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """(number from 1, text) of the lines with content.

    Raises:
        DataError: the file cannot be read or has no content.
    """
    lines = [(number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty; download it again")
    return lines
