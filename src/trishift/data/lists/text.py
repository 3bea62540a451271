"""Text files of lists and class names: one entry per line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trishift.errors import DataError
from trishift.io.atomic import make_folder, staged
from trishift.io.wording import unreadable


@dataclass(frozen=True, slots=True)
class Line:
    """A non-empty line, stripped.

    Attributes:
        number: line number, from 1.
        text: content of the line.
    """

    number: int
    text: str


def read_text(path: Path, errors: str = "surrogateescape") -> str:
    """Read a UTF-8 file, with line endings normalized and without a byte order mark.

    Args:
        path: the file.
        errors: `surrogateescape` keeps other bytes, as in file names; `strict` rejects them.

    Raises:
        DataError: the file cannot be read, is not text, or (`strict`) is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(unreadable(path, error)) from None
    try:
        text = data.decode("utf-8-sig", errors=errors)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not UTF-8; convert the file, for instance with iconv -f latin1 -t utf-8"
        ) from None
    if "\0" in text:
        raise DataError(f"{path}: is not a text file; give a file with one entry per line")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def content_lines(text: str) -> list[Line]:
    """Split a text into lines, without empty ones and comments (`#`)."""
    stripped = (Line(number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [line for line in stripped if line.text and not line.text.startswith("#")]


def write_lines(path: Path, lines: Sequence[str], check: Callable[[Path], None]) -> None:
    """Write a file atomically if `check` accepts it; creates its folder if missing.

    Raises:
        OutputError: the file cannot be written. `check` may raise other errors.
    """
    make_folder(path.parent)
    with staged(path) as new:
        new.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", errors="surrogateescape"))
        check(new)
