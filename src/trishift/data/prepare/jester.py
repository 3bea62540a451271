"""Jester (Materzynska et al. 2019): 148,092 gestures as frame folders, 27 classes.

Download: 20bn-jester-v1-?? (zipped or not) and 20bn-jester-download-package-labels.zip. Classes are numbered in
sorted order, as in TRN, TSM and MindSpore's TRN.
"""

from __future__ import annotations

from pathlib import Path

from trishift.data.prepare.catalog import (
    Catalog,
    ClassNumbers,
    Dataset,
    read_id_label_lines,
    read_sorted_labels,
)
from trishift.data.prepare.pipeline import ListNames, Options, prepare
from trishift.data.prepare.report import PreparationReport
from trishift.data.prepare.tree import Tree

ORIGINAL_NAMES = ListNames("categories.txt", "_videofolder.txt", beside_clips=True)


def prepare_jester(
    root: str | Path, output: str | Path, options: Options | None = None, *, original_names: bool = False
) -> PreparationReport:
    """Prepare Jester; see `pipeline.prepare`.

    Args:
        root: folder with the downloads.
        output: folder for all results.
        options: see `Options`.
        original_names: write categories.txt, train_videofolder.txt and val_videofolder.txt, with paths relative to
            the folder 20bn-jester-v1, as MindSpore's TRN does.
    """
    return prepare(JESTER, root, output, options, ORIGINAL_NAMES if original_names else None)


def read_csv_annotations(tree: Tree, prefix: str) -> Catalog:
    """Read Jester or Something-Something V1: `labels.csv` with a name per line, `id;name` in the other files."""
    labels, *splits = (
        tree.file(rf"({prefix}-)?{part}\.csv", f"{prefix}-{part}.csv") for part in ("labels", "train", "validation")
    )
    numbers = ClassNumbers(read_sorted_labels(labels), labels)
    train, val = (read_id_label_lines(path, numbers) for path in splits)
    return Catalog(numbers.labels, {"train": train, "val": val})


JESTER = Dataset("jester", lambda tree: read_csv_annotations(tree, "jester-v1"), 27, "{:05d}.jpg")
