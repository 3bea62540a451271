"""The common form of every data set's annotations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from trishift.data.prepare.files import read_lines
from trishift.data.prepare.tree import Tree
from trishift.errors import DataError
from trishift.io.wording import did_you_mean


@dataclass(frozen=True)
class Clip:
    """One annotated clip.

    Attributes:
        name: name in reports and after conversion; `/` separates folders.
        labels: class indices; several in multi-label sets.
        aliases: file names to try in order, without suffix; if empty, only `name`.
    """

    name: str
    labels: tuple[int, ...]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """All annotations of a data set.

    Attributes:
        labels: class names in index order.
        splits: clips by list name (`train`, `val`), in annotation order.
        chosen: the split also written as `train` and `val` if there are several (`train_1`, `val_1`, ...).
    """

    labels: tuple[str, ...]
    splits: dict[str, list[Clip]]
    chosen: int | None = None

    @property
    def multi_label(self) -> bool:
        """Whether any clip has several labels."""
        return any(len(clip.labels) != 1 for clips in self.splits.values() for clip in clips)


@dataclass(frozen=True)
class Dataset:
    """Description of a public data set.

    Attributes:
        name: command name.
        read: reads the annotations in a tree into a catalog.
        num_classes: classes of the complete set; None if versions differ.
        template: file names of extracted frames, as in the original code.
        short_side: short side of extracted frames in pixels.
    """

    name: str
    read: Callable[[Tree], Catalog]
    num_classes: int | None = None
    template: str = "img_{:05d}.jpg"
    short_side: int = 256


_COMPARED = 1000  # characters and classes: the search for similar names takes quadratic time


@dataclass(frozen=True)
class ClassNumbers:
    """Class indices by name, with errors that name the line."""

    labels: tuple[str, ...]
    source: Path
    _numbers: dict[str, int] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers.update((name, number) for number, name in enumerate(self.labels))

    def of(self, name: str, file: Path, line: int | str) -> int:
        """The index of a class; raises DataError with the closest name if it is unknown."""
        if name not in self._numbers:
            near = did_you_mean(name[:_COMPARED], self.labels[:_COMPARED])
            hint = near or "; are both files from the same version of the data set?"
            raise DataError(f"{file}:{line}: label {name[:60]!r} is not in {self.source.name}{hint}")
        return self._numbers[name]


def read_sorted_labels(path: Path) -> tuple[str, ...]:
    """Read class names, one per line, and sort them (the original order of Jester and Something-Something V1)."""
    return tuple(sorted({name for _, name in read_lines(path)}))


def read_id_label_lines(path: Path, numbers: ClassNumbers) -> list[Clip]:
    """Read clips from `id;class name` lines.

    Raises:
        DataError: a line is malformed, or a class is unknown.
    """
    clips = []
    for line, text in read_lines(path):
        name, separator, label = text.partition(";")
        if not separator or not name.strip():
            raise DataError(f"{path}:{line}: expected `id;class name`, found {text[:60]!r}; is this the original file?")
        clips.append(Clip(name.strip(), (numbers.of(label.strip(), path, line),)))
    return clips


def check_names(catalog: Catalog) -> None:
    """Raises DataError if a list repeats a clip, or a clip's name would lead outside its folder."""
    for split, clips in catalog.splits.items():
        seen: set[str] = set()
        for name in (clip.name for clip in clips):
            if name in seen:
                raise DataError(f"{split}: clip {name} is annotated more than once; download the annotations again")
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise DataError(f"{split}: {name!r} is not a valid clip name; download the annotations again")
            seen.add(name)
