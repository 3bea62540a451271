"""Moments in Time (Monfort et al. 2018) and Multi-Moments in Time (2019): 3-second videos with one or several labels.

Download: the archive of videos with moments_categories.txt, trainingSet.csv and validationSet.csv. In the CSV files, a
video is followed by its class name (and votes), or in Multi-Moments by its class indices.
"""

from __future__ import annotations

from pathlib import Path

from trishift.data.lists.text import csv_rows
from trishift.data.prepare.catalog import Catalog, ClassNumbers, Clip, Dataset
from trishift.data.prepare.files import clip_name, read_lines
from trishift.data.prepare.pipeline import Options, prepare
from trishift.data.prepare.report import PreparationReport
from trishift.data.prepare.tree import Tree
from trishift.errors import DataError

_LONGEST_NUMBER = 9  # digits


def prepare_moments(root: str | Path, output: str | Path, options: Options | None = None) -> PreparationReport:
    """Prepare Moments in Time or Multi-Moments in Time; see `pipeline.prepare`."""
    return prepare(MOMENTS, root, output, options)


def _read(tree: Tree) -> Catalog:
    categories = tree.file(r"moments_categories\.(txt|csv)", "moments_categories.txt")
    numbers = ClassNumbers(_read_categories(categories), categories)
    train, val = (
        _read_set(tree.file(rf"{name}\.(csv|txt)", f"{name}.csv"), numbers) for name in ("trainingSet", "validationSet")
    )
    return Catalog(numbers.labels, {"train": train, "val": val})


def _read_categories(path: Path) -> tuple[str, ...]:
    """Read class names from `name,number` lines."""
    by_number: dict[int, str] = {}
    for line, text in read_lines(path):
        name, _, number = text.rpartition(",")
        if not name or not number.strip().isdecimal() or len(number) > _LONGEST_NUMBER:
            raise DataError(f"{path}:{line}: expected `name,number`, found {text[:60]!r}")
        by_number[int(number)] = name.strip()
    if sorted(by_number) != list(range(len(by_number))):
        raise DataError(f"{path}: class numbers must run from 0 without gaps or repeats; download it again")
    return tuple(by_number[number] for number in sorted(by_number))


def _read_set(path: Path, numbers: ClassNumbers) -> list[Clip]:
    clips = []
    for (line, text), row in csv_rows(path, read_lines(path)):
        file, *cells = (cell.strip() for cell in row)
        if not file or not cells or not cells[0]:
            raise DataError(f"{path}:{line}: expected a video and its class or classes, found {text[:60]!r}")
        if cells[0].isdecimal():
            labels = tuple(dict.fromkeys(_number(cell, path, line, numbers) for cell in cells if cell))
        else:
            labels = (numbers.of(cells[0], path, line),)
        name = clip_name(file, f"{path}:{line}")
        aliases = (
            (str(name), name.name) if cells[0].isdecimal() else (str(name),)
        )  # Multi-Moments also comes in one flat folder
        clips.append(Clip(str(name), labels, aliases))
    return clips


def _number(cell: str, path: Path, line: int, numbers: ClassNumbers) -> int:
    if not cell.isdecimal() or len(cell) > _LONGEST_NUMBER or int(cell) >= len(numbers.labels):
        raise DataError(
            f"{path}:{line}: class {cell[:60]!r} is out of range: there are {len(numbers.labels)}, numbered from 0"
        )
    return int(cell)


MOMENTS = Dataset("moments", _read, template="{:06d}.jpg")
