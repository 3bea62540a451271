"""Columns of a long list in little memory. Only the code that builds a list extends them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

_Value = TypeVar("_Value", bound=Hashable)
ERRORS = "surrogatepass"  # names of files that are not UTF-8 contain surrogates
_BLOCK = 4096  # texts that iteration decodes at once


class Texts:
    """Texts without NUL characters in one buffer: each takes its UTF-8 bytes and 9 more."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])  # each text ends with NUL

    def extend(self, values: Iterable[str]) -> None:
        """Add texts."""
        values = list(values)
        block = "\0".join([*values, ""]).encode(errors=ERRORS)
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 0)
        if len(ends) != len(values):
            raise ValueError("a text contains a NUL character")
        self._ends.frombytes((len(self._bytes) + 1 + ends).astype(np.int64).tobytes())
        self._bytes += block

    @property
    def content(self) -> bytes:
        """All texts as bytes, each of which ends with NUL."""
        return bytes(self._bytes)

    def any_has(self, part: str) -> bool:
        """Whether some text contains a part."""
        return part.encode(errors=ERRORS) in self._bytes

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        place = range(len(self))[index]
        return self._bytes[self._ends[place] : self._ends[place + 1] - 1].decode(errors=ERRORS)

    def __iter__(self) -> Iterator[str]:
        for place in range(0, len(self), _BLOCK):
            last = min(place + _BLOCK, len(self))
            block = self._bytes[self._ends[place] : self._ends[last] - 1]
            yield from block.decode(errors=ERRORS).split("\0")


class _Codes(dict[_Value, int]):
    """Numbers its keys from 0 in the order in which they are first looked up."""

    def __missing__(self, key: _Value) -> int:
        code = self[key] = len(self)
        return code


class Shared(Generic[_Value]):
    """Values of which few are distinct: each takes 4 bytes."""

    def __init__(self) -> None:
        self._codes = array("i")
        self._code: _Codes[_Value] = _Codes()
        self._table: tuple[_Value, ...] = ()

    def extend(self, values: Iterable[_Value]) -> None:
        """Add values."""
        self._codes.extend(map(self._code.__getitem__, values))

    @property
    def _values(self) -> tuple[_Value, ...]:
        if len(self._table) < len(self._code):
            self._table = tuple(self._code)
        return self._table

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, index: int) -> _Value:
        return self._values[self._codes[index]]

    def __iter__(self) -> Iterator[_Value]:
        return map(self._values.__getitem__, self._codes)

    def counts(self) -> dict[_Value, int]:
        """How often each distinct value appears, in the order of their first appearance."""
        counts = np.bincount(np.array(self._codes, np.int32), minlength=len(self._values)).tolist()
        return dict(zip(self._values, counts, strict=True))

    def mapped(self, function: Callable[[_Value], _Value]) -> Shared[_Value]:
        """The function of every value, computed once for each distinct one."""
        images = list(map(function, self._values))
        result: Shared[_Value] = Shared()
        result.extend(map(images.__getitem__, self._codes))
        return result


def hashes(texts: Iterable[str]) -> np.ndarray:
    """(N,) int64, equal for equal texts of this process and hardly ever for others."""
    return np.fromiter(map(hash, texts), np.int64)


def repeated(values: np.ndarray) -> list[int]:
    """Indices of all entries that equal another one, ascending."""
    order = np.argsort(values, kind="stable")
    same = np.flatnonzero(values[order[1:]] == values[order[:-1]])
    indices: list[int] = np.unique(order[np.concatenate([same, same + 1])]).tolist()
    return indices
