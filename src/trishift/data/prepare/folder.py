"""`trishift prepare folder`: one folder of clips per class becomes lists, labels and a report.

CLIPS/wave/a.mp4 ...          OUT/labels.txt           class names, in the order of their numbers
CLIPS/clap/b.mov ...    -->   OUT/train.txt, val.txt   `path frames label` per line
CLIPS/clap/frames_7/          OUT/report.json          what was checked, and what was found
                              OUT/train_0.txt ...      with folds: the lists of every fold
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from trishift.data.lists import VideoRecord, write_labels, write_list
from trishift.data.prepare.checking import CheckedClip, check_clips, find_clips, find_duplicates, is_truncated
from trishift.data.prepare.files import REPORT, replacing, write_json
from trishift.data.prepare.report import SHORT, PreparationReport
from trishift.data.prepare.splitting import group_clips, split
from trishift.errors import DataError


def prepare_folder(
    directory: str | Path,
    output: str | Path,
    *,
    val_fraction: float = 0.2,
    groups: str | None = None,
    folds: int | None = None,
    fold: int = 0,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
) -> PreparationReport:
    """Check the clips of a folder and write training and validation lists.

    Every clip is decoded from end to end. The split is stratified (each class in proportion) and never tears a
    group apart; the same clips and arguments give the same split.

    Args:
        directory: one folder of clips (videos or frame folders) per class.
        output: folder for the lists; made if missing.
        val_fraction: share of validation.
        groups: see `splitting.group_clips`.
        folds: write this many folds instead; each clip is validated in exactly one.
        fold: the fold that becomes train.txt and val.txt, from 0.
        seed: of the split.
        workers: threads; None for one per core.
        force: replace lists that differ.

    Raises:
        DataError: fewer than two classes or nothing readable, impossible numbers, a clip without a group, or
            `output` holds other lists and `force` is not set. Nothing was written then.
        OutputError: `output` cannot be written.

    Example:
        >>> from trishift.data.prepare import prepare_folder
        >>> report = prepare_folder("clips", "lists", val_fraction=0.5)  # clips/wave/*.mp4, clips/clap/*.mp4
        >>> report.split  # training and validation clips
        {'clap': [1, 1], 'wave': [1, 1]}
    """
    directory, output = Path(directory).absolute(), Path(output).absolute()
    shares = _shares(val_fraction, folds, fold)
    checked = check_clips(directory, find_clips(directory), workers)
    report = PreparationReport("folder", str(output))
    clips = _usable(directory, checked, report)
    labels = sorted({clip.label for clip in clips})
    if len(labels) < 2:
        raise DataError(f"{directory}: only {len(labels)} class folder with readable clips; two or more are needed")
    classes = [labels.index(clip.label) for clip in clips]
    names = group_clips(directory, [clip.path for clip in clips], groups)
    part_of = split(classes, names, shares, seed)
    validated = part_of == (fold if folds else 1)
    _count(report, labels, classes, names, validated)
    _warn(report, checked)
    records = [
        VideoRecord(directory / clip.path, (label,), clip.num_frames, line)
        for line, (clip, label) in enumerate(zip(clips, classes, strict=True), 1)
    ]
    lists = _lists(records, validated)
    for number in range(folds or 0):
        lists |= {f"{n}_{number}": part for n, part in _lists(records, part_of == number).items()}
    _write(output, lists, labels, report, force)
    return report


def _shares(val_fraction: float, folds: int | None, fold: int) -> list[float]:
    if folds is None:
        if not 0 < val_fraction < 1:
            raise DataError(f"prepare: val_fraction {val_fraction} is not between 0 and 1; 0.2 is usual")
        return [1 - val_fraction, val_fraction]
    if folds < 2 or not 0 <= fold < folds:
        raise DataError(f"prepare: fold {fold} of {folds} folds is impossible; use 2 or more folds, counted from 0")
    return [1 / folds] * folds


def _usable(directory: Path, checked: Sequence[CheckedClip], report: PreparationReport) -> list[CheckedClip]:
    """The clips to list; notes all others, and the doubtful ones, in the report."""
    report.broken = {clip.path.as_posix(): clip.problem for clip in checked if clip.problem is not None}
    readable = [clip for clip in checked if clip.problem is None]
    duplicates = find_duplicates(directory, [clip.path for clip in readable])
    report.duplicates = {clip.as_posix(): first.as_posix() for clip, first in duplicates.items()}
    clips = [clip for clip in readable if clip.path not in duplicates]
    report.short = {clip.path.as_posix(): clip.num_frames for clip in clips if clip.num_frames < SHORT}
    report.truncated = {
        clip.path.as_posix(): f"{clip.num_frames} of {clip.announced_frames} frames"
        for clip in clips
        if is_truncated(clip.num_frames, clip.announced_frames)
    }
    return clips


def _count(
    report: PreparationReport, labels: list[str], classes: list[int], groups: list[str], validated: np.ndarray
) -> None:
    report.classes, report.groups = len(labels), len(set(groups))
    for number, name in enumerate(labels):
        of_class = np.asarray(classes) == number
        report.split[name] = [int((of_class & ~validated).sum()), int((of_class & validated).sum())]


def _warn(report: PreparationReport, checked: Sequence[CheckedClip]) -> None:
    for name, (train, val) in report.split.items():
        for split_name, clips in (("training", train), ("validation", val)):
            if clips == 0:
                report.warnings.append(f"class {name} has no {split_name} clips; it needs more clips or groups")
    for name in sorted({clip.label for clip in checked} - set(report.split)):
        report.warnings.append(f"class {name} is left out: none of its clips can be used")
    for clip, first in report.duplicates.items():
        if Path(clip).parts[0] != Path(first).parts[0]:
            report.warnings.append(f"{clip} and {first} are the same clip in two classes; one label is wrong")


def _lists(records: list[VideoRecord], validated: np.ndarray) -> dict[str, list[VideoRecord]]:
    return {
        "train": [record for record, val in zip(records, validated, strict=True) if not val],
        "val": [record for record, val in zip(records, validated, strict=True) if val],
    }


def _write(
    output: Path, lists: dict[str, list[VideoRecord]], labels: list[str], report: PreparationReport, force: bool
) -> None:
    empty = next((name for name, records in lists.items() if not records), None)
    if empty is not None:
        raise DataError(f"prepare: {empty}.txt would be empty; there are too few clips or groups for this split")
    report.lists = {f"{name}.txt": len(records) for name, records in lists.items()}
    with replacing(output, force) as fresh:
        for name, records in lists.items():
            write_list(fresh / f"{name}.txt", records, root=output)
        write_labels(fresh / report.labels, labels)
        write_json(fresh / REPORT, asdict(report))
