"""HMDB51 (Kuehne et al. 2011): 6,766 videos, 51 classes, 3 splits.

Download: hmdb51_org.rar and test_train_splits.rar. Classes are numbered in sorted order. Each split has 70
training and 30 test videos per class (marked 1 and 2); the rest (marked 0) are unused.
"""

from __future__ import annotations

import re
from pathlib import Path

from trishift.data.prepare.catalog import Catalog, Clip, Dataset
from trishift.data.prepare.files import read_lines
from trishift.data.prepare.pipeline import Options, prepare
from trishift.data.prepare.report import PreparationReport
from trishift.data.prepare.tree import Tree
from trishift.errors import DataError

SPLITS = (1, 2, 3)
_FILE = re.compile(r"(?P<label>.+)_test_split(?P<split>[123])\.txt", re.IGNORECASE)
_MARKS = {"0": None, "1": "train", "2": "val"}


def prepare_hmdb51(
    root: str | Path, output: str | Path, options: Options | None = None, *, split: int = 1
) -> PreparationReport:
    """Prepare HMDB51; see `pipeline.prepare`. Writes train_1, val_1, ..., and `split` also as train and val."""
    return prepare(Dataset("hmdb51", lambda tree: _read(tree, split), 51), root, output, options)


def _read(tree: Tree, split: int) -> Catalog:
    files: dict[tuple[str, int], Path] = {}
    for path in tree.files(_FILE.pattern):
        match = _FILE.fullmatch(path.name)
        assert match is not None
        files.setdefault((match["label"], int(match["split"])), path)
    labels = tuple(sorted({label for label, _ in files}))
    where = ", ".join(map(str, tree.folders))
    if not labels:
        raise DataError(f"{where}: brush_hair_test_split1.txt is missing; download test_train_splits.rar")
    splits: dict[str, list[Clip]] = {f"{name}_{number}": [] for number in SPLITS for name in ("train", "val")}
    for number in SPLITS:
        for label_number, label in enumerate(labels):
            if (label, number) not in files:
                raise DataError(
                    f"{where}: {label}_test_split{number}.txt is missing; unpack test_train_splits.rar again"
                )
            for part, name in _read_marks(files[label, number]):
                splits[f"{part}_{number}"].append(Clip(f"{label}/{name}", (label_number,)))
    return Catalog(labels, splits, split)


def _read_marks(path: Path) -> list[tuple[str, str]]:
    """(`train` or `val`, name without suffix) of the videos in a split."""
    found = []
    for line, text in read_lines(path):
        file, _, mark = text.rpartition(" ")
        if mark not in _MARKS or not file.strip():
            raise DataError(f"{path}:{line}: expected `video.avi` and 0, 1 or 2, found {text[:60]!r}")
        part = _MARKS[mark]
        if part is not None:
            found.append((part, file.strip().removesuffix(".avi")))
    return found
