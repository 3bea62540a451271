"""`trishift prepare folder`: one folder of clips per class becomes lists, labels and a report.

CLIPS/wave/a.mp4 ...          OUT/labels.txt           class names, in the order of their numbers
CLIPS/clap/b.mov ...    -->   OUT/train.txt, val.txt   `path frames label` per line
CLIPS/clap/frames_7/          OUT/report.json          what was checked, and what was found
                              OUT/train_0.txt ...      with folds: the lists of every fold
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from trishift.data.lists import VideoRecord, write_labels, write_list
from trishift.data.prepare.checking import CheckedClip, check_clips, find_clips, find_duplicates, is_truncated
from trishift.data.prepare.splitting import group_clips, split
from trishift.errors import DataError

SHORT = 8  # frames: clips with fewer are listed, because their frames repeat in a network's segments


@dataclass
class FolderReport:
    """What `prepare_folder` found and wrote. Clips are named by their paths below the folder.

    Attributes:
        output: where the lists are.
        classes: class name to [training clips, validation clips].
        groups: groups that the clips fall into (as many as clips without grouping).
        unreadable: clip to reason; left out.
        duplicates: clip to the earlier clip with the same content; left out.
        truncated: clips with clearly fewer frames than their header says; kept.
        short: clips of fewer than 8 frames, and their frames; kept.
        warnings: what to think about before training.
    """

    output: str
    classes: dict[str, list[int]] = field(default_factory=dict)
    groups: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)
    truncated: dict[str, str] = field(default_factory=dict)
    short: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        train, val = np.sum(list(self.classes.values()), axis=0)
        lines = [f"{len(self.classes)} classes in {self.groups} groups: {train} training and {val} validation clips"]
        lines += [f"  {name}: {train} + {val}" for name, (train, val) in self.classes.items()]
        lines += [f"unreadable, left out: {reason}" for reason in self.unreadable.values()]
        lines += [f"duplicate, left out: {clip} is the same as {first}" for clip, first in self.duplicates.items()]
        lines += [f"truncated, kept: {clip}: {frames}" for clip, frames in self.truncated.items()]
        if self.short:
            least = min(self.short, key=lambda clip: self.short[clip])
            lines.append(
                f"short, kept: {len(self.short)} clips have fewer than {SHORT} frames "
                f"(the shortest: {least}, {self.short[least]}); frames repeat in them"
            )
        return "\n".join(lines + [f"warning: {text}" for text in self.warnings])


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
) -> FolderReport:
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

    Example:
        >>> from trishift.data.prepare import prepare_folder
        >>> report = prepare_folder("clips", "lists", val_fraction=0.5)  # clips/wave/*.mp4, clips/clap/*.mp4
        >>> report.classes  # training and validation clips
        {'clap': [1, 1], 'wave': [1, 1]}
    """
    directory, output = Path(directory).absolute(), Path(output).absolute()
    shares = _shares(val_fraction, folds, fold)
    checked = check_clips(directory, find_clips(directory), workers)
    report = FolderReport(str(output))
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


def _usable(directory: Path, checked: Sequence[CheckedClip], report: FolderReport) -> list[CheckedClip]:
    """The clips to list; notes all others, and the doubtful ones, in the report."""
    report.unreadable = {clip.path.as_posix(): clip.problem for clip in checked if clip.problem is not None}
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
    report: FolderReport, labels: list[str], classes: list[int], groups: list[str], validated: np.ndarray
) -> None:
    report.groups = len(set(groups))
    for number, name in enumerate(labels):
        of_class = np.asarray(classes) == number
        report.classes[name] = [int((of_class & ~validated).sum()), int((of_class & validated).sum())]


def _warn(report: FolderReport, checked: Sequence[CheckedClip]) -> None:
    for name, (train, val) in report.classes.items():
        for split_name, clips in (("training", train), ("validation", val)):
            if clips == 0:
                report.warnings.append(f"class {name} has no {split_name} clips; it needs more clips or groups")
    for name in sorted({clip.label for clip in checked} - set(report.classes)):
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
    output: Path, lists: dict[str, list[VideoRecord]], labels: list[str], report: FolderReport, force: bool
) -> None:
    """Write everything beside the output, compare it with what is there, then move it in."""
    empty = next((name for name, records in lists.items() if not records), None)
    if empty is not None:
        raise DataError(f"prepare: {empty}.txt would be empty; there are too few clips or groups for this split")
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output, prefix=".prepare-") as scratch:
            fresh = Path(scratch)
            for name, records in lists.items():
                write_list(fresh / f"{name}.txt", records, root=output)
            write_labels(fresh / "labels.txt", labels)
            text = json.dumps(asdict(report), indent=1, ensure_ascii=True)
            (fresh / "report.json").write_text(text + "\n", encoding="utf-8")
            _move(fresh, output, force)
    except OSError as error:
        raise DataError(f"{output}: cannot be written ({error.strerror}); choose another folder") from error


def _move(fresh: Path, output: Path, force: bool) -> None:
    for file in sorted(fresh.iterdir()):
        old = output / file.name
        if old.exists() and not force and old.read_bytes() != file.read_bytes():
            raise DataError(f"{old}: exists and differs; choose another output folder, or --force to replace it")
    for file in sorted(fresh.iterdir()):
        file.replace(output / file.name)
