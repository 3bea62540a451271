"""Kinetics 400, 600 and 700 (Kay et al. 2017): YouTube clips; classes are numbered in sorted order.

Download: train.csv and val.csv with the columns label, youtube_id, time_start, time_end (others are ignored),
and the clips, as archives or in folders, named `<youtube_id>_<start>_<end>.mp4` with six digits each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from trishift.data.lists.text import csv_rows
from trishift.data.prepare.catalog import Catalog, ClassNumbers, Clip, Dataset
from trishift.data.prepare.files import read_lines
from trishift.data.prepare.pipeline import Options, prepare
from trishift.data.prepare.report import PreparationReport
from trishift.data.prepare.tree import Tree
from trishift.errors import DataError
from trishift.io.wording import counted

_SECONDS = re.compile(r"-?\d{1,9}(\.\d{0,9})?", re.ASCII)
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_PREFIX = r"(k(inetics)?[-_]?(400|600|700)?([-_]2020)?[-_])?"


def prepare_kinetics(root: str | Path, output: str | Path, options: Options | None = None) -> PreparationReport:
    """Prepare a version of Kinetics; see `pipeline.prepare`. Frames have a short side of 331 pixels, as in TSM."""
    return prepare(KINETICS, root, output, options)


def _read(tree: Tree) -> Catalog:
    train = tree.file(rf"{_PREFIX}train\.csv", "train.csv")
    val = tree.file(rf"{_PREFIX}val(idate|idation)?\.csv", "val.csv")
    rows = {path: list(_rows(path)) for path in (train, val)}
    # The training list has all classes; an unknown validation label means a mistake or another version.
    numbers = ClassNumbers(tuple(sorted({row["label"] for _, row in rows[train]})), train)
    return Catalog(
        numbers.labels,
        {name: [_clip(path, *row, numbers) for row in rows[path]] for name, path in (("train", train), ("val", val))},
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of a CSV file."""
    (header, columns), *rows = csv_rows(path, read_lines(path))
    lacking = [name for name in _COLUMNS if name not in columns]
    if lacking:
        raise DataError(
            f"{path}:1: the header lacks {', '.join(lacking)} (found {header.text[:80]!r}); use the original CSV files"
        )
    for (number, text), cells in rows:
        if len(cells) != len(columns):
            raise DataError(
                f"{path}:{number}: {counted(len(cells), 'column')} instead of {len(columns)}: {text[:60]!r}"
            )
        yield number, dict(zip(columns, cells, strict=True))


def _clip(path: Path, line: int, row: dict[str, str], numbers: ClassNumbers) -> Clip:
    times = [row[name].strip() for name in ("time_start", "time_end")]
    if not all(map(_SECONDS.fullmatch, times)):
        raise DataError(f"{path}:{line}: time_start and time_end must be seconds; use the original CSV files")
    start, end = (round(float(time)) for time in times)
    video = row["youtube_id"]
    names = (
        f"{video}_{start:06d}_{end:06d}",
        f"{video}_{start}_{end}",
        f"{video}_{start:06d}",
        f"{video}_{start}",
        video,
    )
    return Clip(f"{folder_name(row['label'])}/{names[0]}", (numbers.of(row["label"], path, line),), names)


def folder_name(label: str) -> str:
    """Folder name of a class as in TSM's tools: underscores for spaces, no quotes or parentheses."""
    return re.sub(r"[\"'()]", "", label).replace(" ", "_")


KINETICS = Dataset("kinetics", _read, short_side=331)
