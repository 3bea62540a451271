"""Text files of lists and class names: one entry per line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from trishift.errors import DataError
from trishift.io.atomic import staged
from trishift.io.regular import check_regular
from trishift.io.storage import open_stored, read_bytes
from trishift.io.wording import unreadable

MAX_LINE = 2**16  # characters; paths are limited to 4,096


class Line(NamedTuple):
    """A non-empty line, stripped.

    Attributes:
        number: line number, from 1.
        text: content of the line.
    """

    number: int
    text: str


def read_text(path: Path, errors: str = "strict") -> str:
    """Read a UTF-8 file, with line endings normalized and without a byte order mark.

    Args:
        path: the file.
        errors: treatment of other bytes, as in `bytes.decode`.

    Raises:
        DataError: the file cannot be read, is not text, or is not UTF-8.
    """
    with _readable(path):
        data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not UTF-8; convert the file, for instance with iconv -f latin1 -t utf-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def stream_lines(path: Path) -> Iterator[Line]:
    """Read the content lines of a file one at a time; bytes that are not UTF-8, as in file names, are kept.

    Raises:
        DataError: the file cannot be read, or as in `content_lines`.
    """
    with _readable(path), _text_file(path) as file:
        yield from content_lines(path, file)


def content_lines(path: Path, lines: Iterable[str], *, keep_tabs: bool = False) -> Iterator[Line]:
    """Number and strip lines; empty ones and comments (`#`) are left out.

    Args:
        path: their file, for errors.
        lines: the lines of the file.
        keep_tabs: keep tabs at the ends of lines, which separate empty cells of a table.

    Raises:
        DataError: a line contains a NUL byte, or has more than `MAX_LINE` characters.
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] == "#":
            continue
        if len(text) > MAX_LINE:
            raise DataError(f"{path}:{number}: {len(text):,} characters in one line; is this a text file?")
        if "\0" in text:
            raise DataError(f"{path}:{number}: is not a text file; give a file with one entry per line")
        yield Line(number, line.strip(" \r\n") if keep_tabs else text)


def csv_rows(path: Path, lines: Iterable[Line], delimiter: str = ",") -> Iterator[tuple[Line, list[str]]]:
    """Split lines into cells.

    Args:
        path: their file, for errors.
        lines: lines as from `content_lines`.
        delimiter: the character between cells.

    Raises:
        DataError: a quoted cell spans several lines.
    """
    line, start = Line(0, ""), 0  # the last line; the first line of a row

    def texts() -> Iterator[str]:
        nonlocal line, start
        for line in lines:
            start = start or line.number
            yield line.text

    rows = csv.reader(texts(), delimiter=delimiter)
    try:
        for count, cells in enumerate(rows, 1):
            if rows.line_num != count:
                raise csv.Error
            yield line, cells
            start = 0
    except csv.Error:  # also of a cell that is too long, which only happens over several lines
        raise DataError(f"{path}:{start}: a quoted cell spans several lines; keep each row on one line") from None


def _text_file(path: Path) -> TextIO:
    stored = open_stored(path)
    if stored is None:
        check_regular(path)
        return path.open(encoding="utf-8-sig", errors="surrogateescape")
    return io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding="utf-8-sig", errors="surrogateescape")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Refuse pipes and devices, and turn errors of the operating system into DataErrors."""
    try:
        yield
    except OSError as error:
        raise DataError(unreadable(path, error)) from None


def write_lines(path: Path, lines: Sequence[str], check: Callable[[Path], None]) -> None:
    """Write a file atomically if `check` accepts it.

    Raises:
        OutputError: the file cannot be written. `check` may raise other errors.
    """
    with staged(path) as new:
        new.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", errors="surrogateescape"))
        check(new)
