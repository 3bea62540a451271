"""Clips of a list, in little memory: a list of a million clips takes about 150 MB."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, overload

_UNKNOWN = -1  # frame count


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

    Equal labels and groups are stored once, and paths are kept as text below the root.

    Attributes:
        names: path of each clip as in the list.
        labels: class numbers of each clip.
    """

    def __init__(self, root: Path = Path(), records: Iterable[VideoRecord] = ()) -> None:
        self._root = root
        self.names: list[str] = []
        self.labels: list[tuple[int, ...]] = []
        self._num_frames, self._lines = array("q"), array("q")
        self._groups: list[str | None] = []
        self._shared: dict[Any, Any] = {}
        for record in records:
            self.append(str(record.path), record.labels, record.num_frames, record.line, record.group)

    def append(
        self, name: str, labels: tuple[int, ...], num_frames: int | None, line: int, group: str | None = None
    ) -> None:
        """Add a clip; only for the code that builds a list."""
        self.names.append(name)
        self.labels.append(self._shared.setdefault(labels, labels))
        self._groups.append(group and self._shared.setdefault(group, group))
        self._num_frames.append(_UNKNOWN if num_frames is None else num_frames)
        self._lines.append(line)

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
    def _columns(self) -> tuple[Sequence[Any], ...]:
        return self.names, self.labels, self._num_frames, self._lines, self._groups

    def _record(self, name: str, labels: tuple[int, ...], num_frames: int, line: int, group: str | None) -> VideoRecord:
        return VideoRecord(self._root / name, labels, None if num_frames == _UNKNOWN else num_frames, line, group)

    def path(self, index: int) -> Path:
        """Path of a clip, including the root."""
        return self._root / self.names[index]

    def line(self, index: int) -> int:
        """Line of a clip in the list, from 1."""
        return self._lines[index]

    def group(self, index: int) -> str | None:
        """Group of a clip, None if the list has none."""
        return self._groups[index]

    def paths(self) -> Iterator[str]:
        """Paths of all clips as text, including the root."""
        prefix = str(self._root / "x")[:-1]
        return (str(self._root / name) if Path(name).is_absolute() else prefix + name for name in self.names)

    def select(self, indices: Iterable[int]) -> ClipList:
        """The clips at some indices, in the given order."""
        chosen = ClipList(self._root)
        for index in indices:
            for column, chosen_column in zip(self._columns, chosen._columns, strict=True):
                chosen_column.append(column[index])  # type: ignore[attr-defined]
        return chosen

    def relabeled(self, order: Sequence[int]) -> ClipList:
        """The same clips with each class number `k` replaced by `order[k]`."""
        mapped = {labels: tuple(order[label] for label in labels) for labels in set(self.labels)}
        changed = self.select(range(len(self)))
        changed.labels = [mapped[labels] for labels in self.labels]
        return changed

    def label_counts(self) -> Counter[tuple[int, ...]]:
        """Number of clips per combination of labels."""
        return Counter(self.labels)
