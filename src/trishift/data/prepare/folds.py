"""Your own clips in folds for cross-validation, from class folders or from prepared lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trishift.data.lists import VideoRecord, read_labels, read_list, write_labels, write_list
from trishift.data.parts import split_part
from trishift.data.prepare.folder import prepare_folder
from trishift.data.prepare.listing import GROUPS
from trishift.data.prepare.splitting import group_clips, split
from trishift.errors import DataError

FOLDS = 5
LABELS = "labels.txt"
ALL = "all.csv"


@dataclass(frozen=True)
class Folds:
    """Labeled clips, each validated in one fold and used for training in all others.

    Attributes:
        name: where the clips come from, for messages.
        records: N clips with their groups.
        labels: K class names.
        validated: (F, N) bool, the validation clips of every fold. With a ready split, F is 1.
    """

    name: str
    records: tuple[VideoRecord, ...]
    labels: tuple[str, ...]
    validated: np.ndarray

    def __len__(self) -> int:
        return len(self.validated)

    @property
    def multi_label(self) -> bool:
        """Whether clips can have several labels."""
        return any(len(record.labels) != 1 for record in self.records)

    @property
    def names(self) -> list[str]:
        """The path of every clip."""
        return [str(record.path) for record in self.records]

    @property
    def groups(self) -> list[str]:
        """The group of every clip."""
        return [str(record.group) for record in self.records]

    @property
    def targets(self) -> np.ndarray:
        """(N,) class numbers, or (N, K) float32 of zeros and ones if clips can have several labels."""
        if not self.multi_label:
            return np.array([record.labels[0] for record in self.records])
        targets = np.zeros((len(self.records), len(self.labels)), np.float32)
        for row, record in zip(targets, self.records, strict=True):
            row[list(record.labels)] = 1
        return targets

    def write(self, folder: Path, trained: np.ndarray | None = None) -> None:
        """Write train_0.csv, val_0.csv, ..., all.csv and labels.txt.

        Args:
            folder: made if it does not exist.
            trained: (F, N) bool, the training clips of every fold; None: all that it does not validate.
        """
        write_labels(folder / LABELS, self.labels)
        write_list(folder / ALL, self.records)
        for number, mask in enumerate(self.validated):
            for part, chosen in (("train", ~mask if trained is None else trained[number]), ("val", mask)):
                records = [record for record, wanted in zip(self.records, chosen, strict=True) if wanted]
                write_list(folder / f"{part}_{number}.csv", records)


def open_folds(clips: Path, work: Path, *, folds: int | None = None, groups: str | None = None, seed: int = 0) -> Folds:
    """Divide clips into folds that keep groups together. The clips themselves are never changed.

    Args:
        clips: one folder of clips per class, or lists made by `trishift prepare`.
        work: folder for the lists of class folders; not used for prepared lists.
        folds: number of folds; None: those of prepared lists, which may be one ready split, else 5.
        groups: clips that stay together, see `splitting.group_clips`; None: those of prepared lists, else the parts
            of one video.
        seed: seed of the division.

    Raises:
        DataError: no usable clips, or too few groups for the folds.
    """
    check_request(clips, folds)
    source = clips
    if not _is_prepared(clips):
        print(prepare_folder(clips, work, groups=groups, val_fraction=0, force=True), flush=True)
        source = work
    labels = read_labels(source / LABELS)
    records, ready = _pooled(source, labels)
    if groups is not None and source is clips:
        paths = [_below(record.path, clips) for record in records]
        records = [replace(r, group=g) for r, g in zip(records, group_clips(clips, paths, groups), strict=True)]
    records = [r if r.group is not None else replace(r, group=str(split_part(r.path)[0])) for r in records]
    if folds is None and not len(ready):
        folds = FOLDS
    validated = ready if folds is None or len(ready) == folds else _divide(str(clips), records, labels, folds, seed)
    result = Folds(str(clips), tuple(records), labels, validated)
    _check(result)
    return result


def check_request(clips: Path, folds: int | None) -> None:
    """Refuse arguments of `open_folds` that are wrong for any clips.

    Raises:
        DataError: `clips` is not a folder, or there is only one fold.
    """
    if not clips.is_dir():
        raise DataError(f"{clips}: is not a folder; name a folder of class folders, or one with prepared lists")
    if folds is not None and folds < 2:
        raise DataError(f"--folds {folds}: cross-validation needs 2 or more folds; {FOLDS} is usual")


def _is_prepared(folder: Path) -> bool:
    return (folder / LABELS).is_file() and _list(folder, "train") is not None


def _list(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.txt", folder / f"{name}.csv") if path.is_file()), None)


def _pooled(folder: Path, labels: Sequence[str]) -> tuple[list[VideoRecord], np.ndarray]:
    """The training and validation clips of prepared lists, and (F, N) bool: what ready folds or splits validate."""
    parts = [path for path in (_list(folder, "train"), _list(folder, "val")) if path]
    known = {record.path: record for path in parts for record in read_list(path, class_names=labels)}
    if (folder / GROUPS).is_file():
        for record in read_list(folder / GROUPS, class_names=labels):
            if record.path in known:
                known[record.path] = replace(known[record.path], group=record.group)
    place = {path: number for number, path in enumerate(known)}
    lists: list[Path] = []
    while (path := _list(folder, f"val_{len(lists)}")) is not None:
        lists.append(path)
    lists = lists or parts[1:]
    ready = np.zeros((len(lists), len(place)), bool)
    for row, path in zip(ready, lists, strict=True):
        row[[place[record.path] for record in read_list(path, class_names=labels) if record.path in place]] = True
    return list(known.values()), ready


def _below(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _divide(name: str, records: Sequence[VideoRecord], labels: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """(F, N) bool: the clips that every fold validates."""
    groups = [str(record.group) for record in records]
    number = len(set(groups))
    if number == 1:
        raise DataError(
            f"{name}: all clips belong to the group {groups[0]!r}, so none can be held out; name other --groups"
        )
    if number < folds:
        raise DataError(f"{name}: {number} groups cannot fill {folds} folds; use --folds {number} or fewer")
    classes = [record.labels[0] if record.labels else len(labels) for record in records]
    part_of = split(classes, groups, [1 / folds] * folds, seed)
    return np.arange(folds)[:, None] == part_of


def _check(folds: Folds) -> None:
    """Refuse folds without validation clips, or without training clips of a class."""
    has = [set(record.labels) for record in folds.records]
    for number, mask in enumerate(folds.validated):
        if not mask.any():
            raise DataError(f"{folds.name}: fold {number} would validate no clip; use fewer --folds")
        trained = set().union(*(labels for labels, out in zip(has, mask, strict=True) if not out))
        for label, class_name in enumerate(folds.labels):
            if label not in trained:
                count = len({record.group for record in folds.records if label in record.labels})
                raise DataError(
                    f"{folds.name}: class {class_name} has clips of {count} group{'s' * (count != 1)}, so fold "
                    f"{number} would train without it; collect more groups, choose other --groups, or remove the class"
                )
