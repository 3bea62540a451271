"""Small things that several parts of the preparation share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trishift.errors import DataError

UNFINISHED = ".unfinished-"  # prefix of whatever is being written; never listed, never taken for a clip


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; it appears complete or not at all."""
    temporary = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None


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
