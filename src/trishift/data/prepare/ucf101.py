"""UCF101 (Soomro et al. 2012): 13,320 videos, 101 classes, 3 splits.

Download: UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip. Classes are numbered as in classInd.txt, but from 0.
"""

from __future__ import annotations

from pathlib import Path

from trishift.data.lists import read_labels
from trishift.data.prepare.catalog import Catalog, ClassNumbers, Clip, Dataset
from trishift.data.prepare.files import clip_name, read_lines
from trishift.data.prepare.pipeline import Options, prepare
from trishift.data.prepare.report import PreparationReport
from trishift.data.prepare.tree import Tree
from trishift.errors import DataError

SPLITS = (1, 2, 3)


def prepare_ucf101(
    root: str | Path, output: str | Path, options: Options | None = None, *, split: int = 1
) -> PreparationReport:
    """Prepare UCF101; see `pipeline.prepare`. Writes train_1, val_1, ..., and `split` also as train and val."""
    return prepare(Dataset("ucf101", lambda tree: _read(tree, split), 101), root, output, options)


def _read(tree: Tree, split: int) -> Catalog:
    index = tree.file(r"classInd\.txt", "classInd.txt")
    numbers = ClassNumbers(read_labels(index), index)
    splits = {
        f"{name}_{number}": _read_split(tree.file(rf"{prefix}0{number}\.txt", f"{prefix}0{number}.txt"), numbers)
        for number in SPLITS
        for name, prefix in (("train", "trainlist"), ("val", "testlist"))
    }
    return Catalog(numbers.labels, splits, split)


def _read_split(path: Path, numbers: ClassNumbers) -> list[Clip]:
    """Read clips from `Class/v_Class_g01_c01.avi 1` lines; test lists have no number."""
    clips = []
    for line, text in read_lines(path):
        file, *number = text.split()
        name = clip_name(file, f"{path}:{line}")
        if len(name.parts) != 2 or len(number) > 1:
            raise DataError(
                f"{path}:{line}: expected `Class/video.avi` or `Class/video.avi number`, found {text[:60]!r}"
            )
        label = numbers.of(name.parts[0], path, line)
        if number and number[0] != str(label + 1):
            raise DataError(
                f"{path}:{line}: {name.parts[0]} is class {label + 1} in classInd.txt, not {number[0][:60]}"
            )
        clips.append(Clip(str(name), (label,), (name.name,)))
    return clips
