"""Shared helpers for reading annotations and writing results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from trishift.data.lists.text import MAX_LINE, Line, read_text
from trishift.errors import DataError, shortened
from trishift.io.atomic import staged_together, write_text

REPORT = "report.json"


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=1) + "\n")


@contextmanager
def replacing(folder: Path, force: bool) -> Iterator[Path]:
    """A temporary folder for lists, labels and a report, which move to `folder` together when the block ends.

    Existing files are kept: without `force`, a file may only be rewritten with the same content. `report.json`
    describes the last run and may always change.

    Args:
        folder: created if missing.
        force: replace files whose content differs.

    Raises:
        DataError: `folder` holds different lists or labels and `force` is not set. Nothing was changed.
        OutputError: `folder` cannot be written.
    """
    with staged_together(folder, "lists") as fresh:
        yield fresh
        for new in sorted(fresh.iterdir()):
            old = folder / new.name
            if not force and new.name != REPORT and old.exists() and old.read_bytes() != new.read_bytes():
                raise DataError(
                    f"{old}: exists and differs; choose another output folder, or use --force to replace it"
                )


def readable(text: str) -> str:
    """Text with file names for messages: bytes that are not UTF-8 are escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_annotations(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark; undecodable bytes of file names are preserved."""
    return read_text(path, "surrogateescape")


def read_lines(path: Path) -> list[Line]:
    """All non-blank lines.

    Raises:
        DataError: the file cannot be read or is blank.
    """
    texts = enumerate(read_annotations(path).split("\n"), 1)
    lines = [Line(number, text.strip()) for number, text in texts if text.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty; download it again")
    for number, text in lines:
        if len(text) > MAX_LINE or "\0" in text:
            raise DataError(f"{path}:{number}: is not a line of annotations; download the file again")
    return lines


def clip_name(text: str, place: str) -> PurePosixPath:
    """The path of a clip without its suffix; raises DataError if it has no file name."""
    path = PurePosixPath(text)
    if path.name in ("", ".", ".."):
        raise DataError(f"{place}: {shortened(repr(text))} is not the name of a clip; download the annotations again")
    return path.with_suffix("")
