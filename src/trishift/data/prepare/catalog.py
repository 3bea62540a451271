"""What the annotations of a data set say, read from its own files into one form."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from trishift.data.prepare.files import read_lines
from trishift.data.prepare.tree import Tree
from trishift.errors import DataError


@dataclass(frozen=True)
class Clip:
    """One annotated clip.

    Attributes:
        name: what the clip is called in reports and after conversion; `/` separates folders.
        labels: class numbers; several in multi-label sets.
        aliases: names to look for on disk, in order, without suffix; empty: only `name`.
    """

    name: str
    labels: tuple[int, ...]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """All annotations of a data set.

    Attributes:
        labels: class names in the order of their numbers.
        splits: clips by list name (`train`, `val`), in the order of the annotations.
        chosen: the split that becomes `train` and `val` where there are several (`train_1`, `val_1`, ...).
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
    """How a public data set is prepared.

    Attributes:
        name: of the command.
        read: makes the catalog out of the annotations in a tree.
        num_classes: of the whole set; None where versions differ.
        template: file names of extracted frames, as the originals have them.
        short_side: of extracted frames in pixels.
    """

    name: str
    read: Callable[[Tree], Catalog]
    num_classes: int | None = None
    template: str = "img_{:05d}.jpg"
    short_side: int = 256


@dataclass(frozen=True)
class ClassNumbers:
    """Class numbers by name, with errors that point at the line."""

    labels: tuple[str, ...]
    source: Path
    _numbers: dict[str, int] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers.update((name, number) for number, name in enumerate(self.labels))

    def of(self, name: str, file: Path, line: int | str) -> int:
        """Raises DataError with the nearest name if there is no such class."""
        if name not in self._numbers:
            near = difflib.get_close_matches(name, self.labels, 1)
            hint = f"; is {near[0]!r} meant?" if near else "; do both belong to the same version of the data set?"
            raise DataError(f"{file}:{line}: label {name!r} is not in {self.source.name}{hint}")
        return self._numbers[name]


def read_sorted_labels(path: Path) -> tuple[str, ...]:
    """Class names, one per line, sorted (as the originals number Jester and Something-Something V1)."""
    return tuple(sorted({name for _, name in read_lines(path)}))


def read_id_label_lines(path: Path, numbers: ClassNumbers) -> list[Clip]:
    """Clips of `id;class name` lines.

    Raises:
        DataError: a line looks different, or a class is unknown.
    """
    clips = []
    for line, text in read_lines(path):
        name, separator, label = text.partition(";")
        if not separator or not name.strip():
            raise DataError(f"{path}:{line}: expected `id;class name`, found {text[:60]!r}; is this the original file?")
        clips.append(Clip(name.strip(), (numbers.of(label.strip(), path, line),)))
    return clips


def check_names(catalog: Catalog) -> None:
    """Raises DataError if a clip comes twice in a list, or is called so that it would lead out of a folder."""
    for split, clips in catalog.splits.items():
        seen: set[str] = set()
        for name in (clip.name for clip in clips):
            if name in seen:
                raise DataError(f"{split}: clip {name} is annotated more than once; download the annotations again")
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise DataError(f"{split}: {name!r} cannot be the name of a clip; download the annotations again")
            seen.add(name)
