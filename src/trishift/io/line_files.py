"""Files of JSON lines that grow while a long job runs, and that the next start of the job continues.

Every line is complete on disk once `add` returns. If the disk is full or the process is killed, the lines so far stay,
and an incomplete last line is removed by the next writer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from trishift.errors import OutputError
from trishift.io.atomic import make_folder
from trishift.io.locks import locked_by

Record = dict[str, Any]
_BLOCK = 65536  # bytes


class LineFile:
    """A file of JSON objects, one per line; see `open_lines`.

    Args:
        path: the file.
        file: the file, open for appending without a buffer.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self._file = path, file

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
        """Append objects.

        Raises:
            OutputError: the operating system refuses (full disk); the lines before stay.
        """
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        rest = memoryview(text.encode("utf-8", "surrogateescape"))
        end = self._file.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._cut(end)
            reason = error.strerror or str(error)
            raise OutputError(
                f"{self.path}: cannot be written ({reason}); the lines so far are kept, repeat the command to continue"
            ) from error

    def keep(self, count: int) -> None:
        """Remove all but the first lines."""
        with self.path.open("rb") as file:
            for _ in range(count):
                file.readline()
            self._cut(file.tell())

    def _cut(self, size: int) -> None:
        try:
            self._file.truncate(size)
        except OSError:  # an incomplete line remains, which the next writer removes
            return


@contextmanager
def open_lines(path: Path) -> Iterator[LineFile]:
    """Open a file of lines for one writer; it is created if missing.

    Raises:
        OutputError: another process writes it, or the operating system refuses.
    """
    make_folder(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    try:
        with locked_by(lock) as ours:
            if not ours:
                raise OutputError(f"{path}: another process is writing it; wait for it, or name another file")
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
