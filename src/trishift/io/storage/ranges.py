"""Ranges of bytes as a file in which decoders can seek."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path

_BLOCK = 4 * 2**20  # bytes fetched at once
_KEPT = 8  # blocks of an open file


class Ranges(ABC):
    """Bytes of which any range can be read.

    Attributes:
        name: the path, for errors.
        size: number of bytes.
        identity: equal for equal content of the same path.
    """

    name: str
    size: int
    identity: tuple[Hashable, ...]

    @abstractmethod
    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`, which lies within the size.

        Raises:
            DataError: they cannot be read.
        """


class FileRanges(Ranges):
    """A file on this machine.

    Raises:
        OSError: there is no such file.
    """

    def __init__(self, path: Path) -> None:
        status = path.stat()
        self.name, self._path, self.size = str(path), path, status.st_size
        self.identity = (str(path), status.st_size, status.st_mtime_ns)

    def read(self, start: int, end: int) -> bytes:
        """See `Ranges`."""
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)


class RangeFile(io.RawIOBase):
    """A file of ranges; reads whole blocks and keeps the last ones. For one thread."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges, self._position = ranges, 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ranges.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as one block goes; returns the number of bytes, 0 at the end."""
        if self._position >= self._ranges.size:
            return 0
        number, offset = divmod(self._position, _BLOCK)
        data = self._block(number)[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
        else:
            start = number * _BLOCK
            self._blocks[number] = self._ranges.read(start, min(start + _BLOCK, self._ranges.size))
            if len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        return self._blocks[number]
