"""Clips of a list, in little memory: a million clips take their paths and 33 MB."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, starmap
from pathlib import Path
from typing import Any, overload

import numpy as np

from trishift.data.lists.columns import ERRORS, Shared, Texts, hashes, repeated
from trishift.data.parts import split_part
from trishift.errors import DataError, named
from trishift.io.regular import NUL, joined

_UNKNOWN = -1  # frame count
_BLOCK = 512  # clips that are added at once
Row = tuple[str, tuple[int, ...], int | None, int, str | None]  # path, labels, frame count, line and group of a clip


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One clip of a list.

    Attributes:
        path: video file or frame folder, including the list's root; may name a part of it, see `parts`.
        labels: class numbers; any number of them in multi-label sets, empty in lists without labels.
        num_frames: frame count according to the list; None if missing.
        line: line number in the list, from 1.
        group: clips of one group (a person, a recording) stay together in a split; None: each video is a group.
    """

    path: Path
    labels: tuple[int, ...]
    num_frames: int | None
    line: int
    group: str | None = None


class ClipList(Sequence[VideoRecord]):
    """An immutable sequence of `VideoRecord`, which are created on access.

    Equal labels and groups are stored once, and paths are kept as bytes below the root.

    Attributes:
        names: path of each clip as in the list.
        labels: class numbers of each clip.
    """

    def __init__(self, root: Path = Path(), records: Iterable[VideoRecord] = ()) -> None:
        self._root = root
        self.names = Texts()
        self.labels: Shared[tuple[int, ...]] = Shared()
        self._num_frames, self._lines = array("q"), array("q")
        self._groups: Shared[str | None] = Shared()
        self.extend((str(r.path), r.labels, r.num_frames, r.line, r.group) for r in records)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> ClipList:
        """Clips without labels.

        Raises:
            DataError: no file can have such a name.
        """
        clips = cls()
        clips.extend((_name(path), (), None, line, None) for line, path in enumerate(paths, 1))
        return clips

    def extend(self, rows: Iterable[Row]) -> None:
        """Add clips; only for the code that builds a list."""
        rows = iter(rows)
        while block := list(islice(rows, _BLOCK)):
            self.extend_columns(*zip(*block, strict=True))

    def extend_columns(
        self,
        names: Iterable[str],
        labels: Iterable[tuple[int, ...]],
        num_frames: Iterable[int | None],
        lines: Iterable[int],
        groups: Iterable[str | None],
    ) -> None:
        """Add clips, given as the columns of their rows; only for the code that builds a list."""
        self.names.extend(names)
        self.labels.extend(labels)
        self._num_frames.extend([_UNKNOWN if count is None else count for count in num_frames])
        self._lines.extend(lines)
        self._groups.extend(groups)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> VideoRecord: ...

    @overload
    def __getitem__(self, index: slice) -> ClipList: ...

    def __getitem__(self, index: int | slice) -> VideoRecord | ClipList:
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        return self._record(*(column[index] for column in self._columns))

    def __iter__(self) -> Iterator[VideoRecord]:
        return starmap(self._record, zip(*self._columns, strict=True))

    def __add__(self, other: Iterable[VideoRecord]) -> list[VideoRecord]:
        return [*self, *other]

    @property
    def _columns(self) -> tuple[Any, ...]:
        return self.names, self.labels, self._num_frames, self._lines, self._groups

    def _record(self, name: str, labels: tuple[int, ...], num_frames: int, line: int, group: str | None) -> VideoRecord:
        frames = None if num_frames == _UNKNOWN else num_frames
        return VideoRecord(joined(self._root, name), labels, frames, line, group)

    def path(self, index: int) -> Path:
        """Path of a clip, including the root."""
        return joined(self._root, self.names[index])

    def name(self, index: int) -> str:
        """Path of a clip as results name it, see `errors.named`.

        Addresses of the list that differ in nothing but tokens (`?key=a`, `?key=b`) get a hash of these.
        """
        mark = self._marks.get(index)
        return named(self.path(index)) + (f" ({mark})" if mark else "")

    @cached_property
    def _marks(self) -> dict[int, str]:
        """The hash of the tokens by the index of each clip whose name would be that of another address, too."""
        if not self.names.any_has("?"):
            return {}
        queries: dict[str, dict[int, str]] = {}
        for index in repeated(hashes(map(named, self.paths()))):
            path = str(self.path(index))
            queries.setdefault(named(path), {})[index] = path.partition("?")[2]
        ambiguous = (of_name for of_name in queries.values() if len(set(of_name.values())) > 1)
        return {
            index: hashlib.sha256(query.encode(errors=ERRORS)).hexdigest()[:8]
            for of_name in ambiguous
            for index, query in of_name.items()
        }

    def line(self, index: int) -> int:
        """Line of a clip in the list, from 1."""
        return self._lines[index]

    def frame_counts(self) -> np.ndarray | None:
        """Frames of each clip according to the list, (N,) int64; None unless it has all of them."""
        return None if _UNKNOWN in self._num_frames else np.array(self._num_frames, np.int64)

    def group(self, index: int) -> str | None:
        """Group of a clip, None if the list has none."""
        return self._groups[index]

    def paths(self) -> Iterator[str]:
        """Paths of all clips as text, including the root."""
        prefix = str(self._root / "x")[:-1]
        return (
            str(joined(self._root, name)) if name[:1] in ("/", "\\") or ":" in name[1:6] else prefix + name
            for name in self.names
        )

    def videos(self) -> Iterator[str]:
        """Paths of the videos of all clips as text, including the root."""
        return (str(split_part(path)[0]) if "#" in path else path for path in self.paths())

    def select(self, indices: Iterable[int]) -> ClipList:
        """The clips at some indices, in the given order."""
        chosen, indices = ClipList(self._root), list(indices)
        for column, chosen_column in zip(self._columns, chosen._columns, strict=True):
            chosen_column.extend(column[index] for index in indices)
        return chosen

    def relabeled(self, order: Sequence[int]) -> ClipList:
        """The same clips with each class number `k` replaced by `order[k]`."""
        changed = copy(self)
        changed.labels = self.labels.mapped(lambda labels: tuple(order[label] for label in labels))
        return changed

    def unlabeled(self) -> ClipList:
        """The same clips without their labels."""
        changed = copy(self)
        changed.labels = self.labels.mapped(lambda _: ())
        return changed

    def digest(self) -> str:
        """A hash of the paths, with the root as it was given; those of addresses may change their secrets."""
        content = self.names.content
        if self.names.any_has("@") or self.names.any_has("?"):
            content = named(content.decode(errors=ERRORS)).encode(errors=ERRORS)
        if self._marks:
            content += repr(sorted(self._marks.items())).encode()
        return hashlib.sha256(os.fsencode(named(self._root)) + b"\0" + content).hexdigest()

    def label_counts(self) -> Counter[tuple[int, ...]]:
        """Number of clips per combination of labels."""
        return Counter(self.labels.counts())


def _name(path: Path) -> str:
    if "\0" in (name := str(path)):
        raise DataError(f"{name}: {NUL}; check the path")
    return name
