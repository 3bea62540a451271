"""Files of JSON lines that grow while a long job runs, and that the next start of the job continues.

Every line is complete on disk once `add` returns. If the disk is full or the process is killed, the lines so far stay,
and an incomplete last line is removed by the next writer.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from trishift.errors import OutputError
from trishift.io.atomic import make_folder
from trishift.io.locks import locked_by
from trishift.io.wording import plain

Record = dict[str, Any]
_HASH = re.compile("[0-9a-f]{32,}")
_BLOCK = 65536  # bytes


class GrowingFile:
    """A file that grows by whole records: what has been appended stays, whatever happens later.

    Args:
        path: the file.
        file: the file, open for appending without a buffer.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self._file = path, file

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._file.seek(0, os.SEEK_END)

    def append(self, content: bytes) -> None:
        """Append content, all of it or nothing.

        Raises:
            OutputError: the operating system refuses (full disk); what was there before stays.
        """
        rest, end = memoryview(content), self.size
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.cut(end)
            reason = error.strerror or str(error)
            raise OutputError(
                f"{self.path}: cannot be written ({reason}); the lines so far are kept, repeat the command to continue"
            ) from error

    def cut(self, size: int) -> None:
        """Remove what follows the first bytes, as far as the operating system allows it."""
        with suppress(OSError):  # the next writer tries again
            self._file.truncate(size)

    def sync(self) -> None:
        """Flush to disk, for the case of a power cut."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LineFile(GrowingFile):
    """A file of JSON objects, one per line; see `open_lines`."""

    def __iter__(self) -> Iterator[Record]:
        """Read all objects; one that cannot be read ends them."""
        with self.path.open("rb") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    return
                if not isinstance(record, dict):
                    return
                yield record

    def add(self, *records: Record) -> None:
        """Append objects. Raises like `append`."""
        self.append(b"".join(map(encode_line, records)))

    def keep(self, count: int) -> None:
        """Remove all but the first lines."""
        with self.path.open("rb") as file:
            for _ in range(count):
                file.readline()
            self.cut(file.tell())


def encode_line(record: Record) -> bytes:
    """A JSON object as a line; bytes of file names that are not UTF-8 stay as they are."""
    return (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def changed_setting(found: Record, wanted: Record) -> str | None:
    """The first setting by which the header of a file differs from the wanted one, in words; None if none does.

    Example:
        >>> from trishift.io.line_files import changed_setting
        >>> changed_setting({"hop": 1, "window": 2}, {"hop": 1, "window": 4})
        'another window (before 2, now 4)'
        >>> changed_setting({"list": 64 * "0"}, {"list": 64 * "1"})  # hashes
        'another list'
    """
    for key in {**wanted, **found}:
        values = {"before": found.get(key), "now": wanted.get(key)}
        if values["before"] != values["now"]:
            says_something = not any(_HASH.fullmatch(str(value)) for value in values.values())
            return f"another {key}" + (f" ({plain(values)})" if says_something else "")
    return None


@contextmanager
def open_lines(path: Path, subject: Path | None = None) -> Iterator[LineFile]:
    """Open a file of lines for one writer; it is created if missing.

    Args:
        path: the file.
        subject: what the lines are about, for errors; None: the file itself.

    Raises:
        OutputError: another process writes it, or the operating system refuses.
    """
    make_folder(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    try:
        with locked_by(lock) as ours:
            if not ours:
                raise OutputError(
                    f"{subject or path}: another process is writing it; wait for it, or name another file"
                )
            with _opened(path) as file:
                yield LineFile(path, file)
    except OSError as error:
        if error.filename is None or Path(error.filename) not in (path, lock):
            raise
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


@contextmanager
def _opened(path: Path) -> Iterator[FileIO]:
    with FileIO(path, "a+") as file:
        size = file.seek(0, os.SEEK_END)
        end = -1
        while size and end < 0:  # look for the end of the last complete line
            start = max(0, size - _BLOCK)
            file.seek(start)
            end = (file.read(size - start) or b"").rfind(b"\n")
            size = start + end + 1
        file.truncate(size)
        yield file
