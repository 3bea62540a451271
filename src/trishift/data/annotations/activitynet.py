"""ActivityNet's JSON, also written for HACS, THUMOS and others: seconds by video, with subsets."""

from __future__ import annotations

from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.records import Annotations
from trishift.data.split_names import split_of
from trishift.errors import DataError


def recognizes(file: AnnotationFile) -> bool:
    """Whether a file has ActivityNet's form; its results are recognized, too, and refused by `read`."""
    return isinstance(file.json, dict) and any(isinstance(file.json.get(key), dict) for key in ("database", "results"))


def read(file: AnnotationFile, into: Annotations) -> None:
    """Add the segments of all videos. Without a training subset, validation is for training and test for validation."""
    if "database" not in file.json:
        raise DataError(f"{file.path}: has no 'database'; it holds results, give the annotations")
    database = file.json["database"]
    splits = {name: split_of(str(entry.get("subset", ""))) for name, entry in database.items()}
    if "train" not in splits.values() and {"val", "test"} <= {*splits.values()}:
        into.notes.append(f"{file.path}: has no training subset, so validation is for training, test for validation")
        splits = {name: {"val": "train", "test": "val"}.get(split or "") for name, split in splits.items()}
    for name, entry in database.items():
        into.place = f"{file.path}: {name}"
        if entry.get("duration") is not None:
            into.set_duration(name, entry["duration"])
        for number, each in enumerate(entry.get("annotations", []), 1):
            into.place = f"{file.path}: {name}, annotation {number}"
            start, end = each["segment"]
            into.add(name, (start, end), str(each["label"]), split=splits[name])
