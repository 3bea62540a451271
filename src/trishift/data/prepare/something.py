"""Something-Something (Goyal et al. 2017; Mahdisoltani et al. 2018): V1 as frame folders, V2 as videos; 174 classes.

Download V1: 20bn-something-something-v1-?? and its labels, train and validation csv.
Download V2: 20bn-something-something-v2-?? and 20bn-something-something-download-package-labels.zip.
V1 numbers its classes in sorted order, V2 as in its labels.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trishift.data.lists import read_labels
from trishift.data.prepare.catalog import Catalog, ClassNumbers, Clip, Dataset
from trishift.data.prepare.files import read_annotations
from trishift.data.prepare.jester import read_csv_annotations
from trishift.data.prepare.pipeline import Options, prepare
from trishift.data.prepare.report import PreparationReport
from trishift.data.prepare.tree import Tree
from trishift.errors import DataError, brief


def prepare_somethingv1(root: str | Path, output: str | Path, options: Options | None = None) -> PreparationReport:
    """Prepare Something-Something V1; see `pipeline.prepare`."""
    return prepare(SOMETHING_V1, root, output, options)


def prepare_somethingv2(root: str | Path, output: str | Path, options: Options | None = None) -> PreparationReport:
    """Prepare Something-Something V2; see `pipeline.prepare`."""
    return prepare(SOMETHING_V2, root, output, options)


def _read_v2(tree: Tree) -> Catalog:
    labels, *splits = (
        tree.file(rf"(something-something-v2-)?{part}\.json", f"something-something-v2-{part}.json")
        for part in ("labels", "train", "validation")
    )
    numbers = ClassNumbers(read_labels(labels), labels)
    train, val = (_read_entries(path, numbers) for path in splits)
    return Catalog(numbers.labels, {"train": train, "val": val})


def _read_entries(path: Path, numbers: ClassNumbers) -> list[Clip]:
    """Read clips from a JSON list with `id` and `template`; class names omit the template's brackets."""
    try:
        entries: Any = json.loads(read_annotations(path))
        pairs = [(str(entry["id"]), str(entry["template"])) for entry in entries]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: expected a JSON list of objects with `id` and `template` ({brief(error)}); is this the original "
            "file?"
        ) from None
    return [
        Clip(name, (numbers.of(template.replace("[", "").replace("]", ""), path, f"id {name}"),))
        for name, template in pairs
    ]


SOMETHING_V1 = Dataset(
    "somethingv1", lambda tree: read_csv_annotations(tree, "something-something-v1"), 174, "{:05d}.jpg"
)
SOMETHING_V2 = Dataset("somethingv2", _read_v2, 174, "{:06d}.jpg")
