"""From found clips to checked lists: the common part of `prepare folder`, `prepare list` and `prepare intervals`.

OUT/labels.txt                  class names in index order
OUT/train.txt, val.txt          `path frames label` per line; CSV files if a clip has several labels or an odd path
OUT/test.txt                    if the clips come with a test split
OUT/train_0.txt, val_0.txt ...  with folds: the lists of every fold
OUT/groups.csv                  with groups: all clips with the group of each, also a list
OUT/report.json                 findings
OUT/frames-256/, videos-256/    converted clips, if requested
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trishift.data.lists import VideoRecord, read_labels
from trishift.data.parts import split_part
from trishift.data.prepare.checking import CheckedClip, check_clips, is_truncated
from trishift.data.prepare.discovery import Found, FoundClip, check_class_names
from trishift.data.prepare.listing import convert_clips, target_names, write_results
from trishift.data.prepare.options import SHORT_SIDE, SplitOptions
from trishift.data.prepare.report import SHORT, PreparationReport
from trishift.data.prepare.similarity import identical_clips, similar_clips
from trishift.data.prepare.splitting import group_clips, split_by_labels
from trishift.errors import DataError
from trishift.io.wording import counted, shown_first

_PRECEDENCE = ("test", "val", "train", None)  # of duplicates, the evaluated one is kept
_NAMED = 3  # lost clips in an error
_LARGE = 480  # pixels: from here on, smaller copies are suggested


def prepare_clips(
    found: Found, directory: Path, output: Path, options: SplitOptions, report: PreparationReport
) -> PreparationReport:
    """Check, deduplicate, split and list clips.

    Args:
        found: the clips; paths are relative to `directory`.
        directory: folder of the clips.
        output: folder for the lists; created if missing.
        options: see `SplitOptions`.
        report: receives the findings.

    Raises:
        DataError: invalid class names, fewer than two classes with usable clips, a list would be empty, or `output`
            holds different lists and `options.force` is not set. No list was written.
        OutputError: `output` cannot be written.
    """
    check_class_names({label for clip in found.clips for label in clip.labels}, directory)
    is_ready = any(clip.split for clip in found.clips)
    if is_ready and options.folds is not None:
        raise DataError(f"{directory}: comes with a ready split; --folds needs one folder per class without a split")
    if options.convert is not None:
        target_names(directory, found.clips)  # refuses clips that cannot be converted
    report.skipped, report.missing = dict(found.skipped), found.missing
    report.notes, report.warnings = list(found.notes), list(found.warnings)
    is_converted = options.convert is not None
    paths = [clip.path for clip in found.clips]
    checked = check_clips(directory, paths, options.workers, sampled=is_converted, template=options.template)
    clips = _distinct(directory, found.clips, checked, report, options.keep_similar)
    labels = _class_names(directory, found, clips, report)
    shifts = _compare_classes(output / report.labels, labels, options.force)
    if is_converted:
        checked |= convert_clips(directory, output, clips, checked, options)
        clips = [clip for clip in clips if checked[clip.path].problem is None]
        report.broken = _broken(checked)
        labels = _class_names(directory, found, clips, report)
        shifts = _compare_classes(output / report.labels, labels, options.force)
    report.classes = labels
    report.warnings += shifts
    _describe(clips, checked, report, is_converted)
    numbers = {name: number for number, name in enumerate(labels)}
    classes = [tuple(sorted(numbers[label] for label in clip.labels)) for clip in clips]
    groups = _groups(directory, clips, options.groups)
    parts = _ready_parts(clips, classes, groups, options, report) if is_ready else _parts(classes, groups, options)
    _count(report, parts, classes, groups)
    _warn(report, found.clips, parts, groups)
    if options.template is not None and any((directory / clip.path).is_dir() for clip in clips):
        report.notes.append(f"later, these frames need data.template='{options.template}', or --template in infer")
    stored = [checked[clip.path].converted or directory / clip.path for clip in clips]
    records = [
        VideoRecord(path, of_clip, checked[clip.path].num_frames, line)
        for line, (clip, path, of_clip) in enumerate(zip(clips, stored, classes, strict=True), 1)
    ]
    if options.groups is not None:
        records = [replace(record, group=group) for record, group in zip(records, groups, strict=True)]
    write_results(output, parts, records, report, options.force)
    return report


def _class_order(name: str) -> tuple[bool, int, str]:
    """Sort by name, but whole numbers by value."""
    is_number = name.isdecimal() and name.isascii() and len(name) < 10
    return (not is_number, int(name) if is_number else 0, name)


def _too_few_classes(labels: Sequence[str], found: Found, source: str) -> str:
    if source in ("list", "intervals"):
        return f"only {counted(len(labels), 'class')} with readable clips; two or more are needed"
    inner = {clip.path.parts[1] for clip in found.clips if len(clip.path.parts) > 2}
    hint = ""
    if len(labels) == 1 and len(inner) > 1:
        hint = f"; if the folders in {found.clips[0].path.parts[0]} are the classes, give that folder instead"
    return f"only {counted(len(labels), 'class folder')} with readable clips; two or more are needed{hint}"


def _lost(report: PreparationReport) -> str:
    """The clips that could not be used, as the end of an error."""
    missing = [name for names in report.missing.values() for name in names]
    lost = [
        *([f"missing: {shown_first(missing, _NAMED)}"] if missing else []),
        *([f"broken: {shown_first(list(report.broken.values()), _NAMED)}"] if report.broken else []),
        *([f"duplicates: {shown_first(list(report.duplicates), _NAMED)}"] if report.duplicates else []),
    ]
    return f" ({'; '.join(lost)})" if lost else ""


def _class_names(directory: Path, found: Found, clips: Sequence[FoundClip], report: PreparationReport) -> list[str]:
    """The classes of the clips, in order; raises DataError for fewer than two."""
    labels = sorted({label for clip in clips for label in clip.labels}, key=_class_order)
    if len(labels) < 2:
        raise DataError(f"{directory}: {_too_few_classes(labels, found, report.dataset)}{_lost(report)}")
    return labels


def _distinct(
    directory: Path,
    found: Sequence[FoundClip],
    checked: Mapping[Path, CheckedClip],
    report: PreparationReport,
    keep_similar: bool,
) -> list[FoundClip]:
    """The readable clips without duplicates; records all others in the report."""
    report.broken = _broken(checked)
    readable = [clip for clip in found if checked[clip.path].problem is None]
    readable.sort(key=lambda clip: _PRECEDENCE.index(clip.split))
    duplicates = identical_clips(directory, [clip.path for clip in readable])
    if not keep_similar:
        compared = [clip.path for clip in readable if not (clip.is_background or clip.path in duplicates)]
        signatures = {path: checked[path].signature for path in compared}
        similar = similar_clips({path: known for path, known in signatures.items() if known is not None}, directory)
        if similar:
            report.notes.append(
                f"{counted(len(similar), 'duplicate only looks', 'duplicates only look')} the same; "
                f"--keep-similar keeps them"
            )
        duplicates |= similar
    report.duplicates = {clip.as_posix(): first.as_posix() for clip, first in duplicates.items()}
    return [clip for clip in found if checked[clip.path].problem is None and clip.path not in duplicates]


def _broken(checked: Mapping[Path, CheckedClip]) -> dict[str, str]:
    return {path.as_posix(): clip.problem for path, clip in checked.items() if clip.problem is not None}


def _describe(
    clips: Sequence[FoundClip], checked: Mapping[Path, CheckedClip], report: PreparationReport, is_converted: bool
) -> None:
    """Record doubtful clips in the report."""
    for clip in (checked[clip.path] for clip in clips):
        if clip.num_frames < SHORT:
            report.short[clip.path.as_posix()] = clip.num_frames
        if is_truncated(clip.num_frames, clip.announced_frames):
            report.truncated[clip.path.as_posix()] = f"{clip.num_frames} of {clip.announced_frames} frames"
    short_side = int(np.median([checked[clip.path].short_side for clip in clips]))
    if not is_converted and short_side >= _LARGE:
        report.notes.append(
            f"the short side of the clips is {short_side} pixels (median), training uses {SHORT_SIDE} at most: "
            "--reencode or --frames stores smaller copies, which load faster"
        )


def _compare_classes(path: Path, labels: list[str], force: bool) -> list[str]:
    """Warnings of class numbers that shift against a label file; raises DataError unless `force`."""
    try:
        old = read_labels(path) if path.is_file() else ()
    except DataError:
        return []
    moved = [name for name in old if name in labels and labels.index(name) != old.index(name)]
    if moved:
        name = moved[0]
        text = (
            f"class numbers shift: {len(moved)} of {counted(len(old), 'class')} would change ({name}: "
            f"{old.index(name)} "
            f"becomes {labels.index(name)}), so older lists and models without class names no longer match"
        )
        if not force:
            raise DataError(f"{path}: {text}; choose another output folder, or use --force to replace the lists")
        return [text]
    return []


def _groups(directory: Path, clips: Sequence[FoundClip], groups: str | None) -> list[str]:
    """The group of every clip; by default the parts of one video stay together."""
    if groups is not None:
        return group_clips(directory, [clip.path for clip in clips], groups)
    return [split_part(directory / clip.path)[0].as_posix() for clip in clips]


def _parts(classes: list[tuple[int, ...]], groups: list[str], options: SplitOptions) -> dict[str, np.ndarray]:
    """List name to a mask of its clips."""
    if options.folds is None:
        return _train_and_val(np.ones(len(classes), bool), classes, groups, options)
    part_of = split_by_labels(classes, groups, [1 / options.folds] * options.folds, options.seed)
    parts = {"train": part_of != options.fold, "val": part_of == options.fold}
    for number in range(options.folds):
        parts |= {f"train_{number}": part_of != number, f"val_{number}": part_of == number}
    return parts


def _train_and_val(
    chosen: np.ndarray, classes: list[tuple[int, ...]], groups: list[str], options: SplitOptions
) -> dict[str, np.ndarray]:
    """Split the chosen clips into training and validation; only training where none is wanted."""
    if not options.val_fraction:
        return {"train": chosen}
    places = np.flatnonzero(chosen)
    shares = [1 - options.val_fraction, options.val_fraction]
    part_of = split_by_labels([classes[i] for i in places], [groups[i] for i in places], shares, options.seed)
    validated = np.zeros(len(chosen), bool)
    validated[places[part_of == 1]] = True
    return {"train": chosen & ~validated, "val": validated}


def _ready_parts(
    clips: Sequence[FoundClip],
    classes: list[tuple[int, ...]],
    groups: list[str],
    options: SplitOptions,
    report: PreparationReport,
) -> dict[str, np.ndarray]:
    """The lists of a ready split; validation clips are taken from training if the split has none."""
    splits = np.array([clip.split for clip in clips])
    parts = {name: splits == name for name in ("train", "val", "test") if (splits == name).any()}
    if "val" not in parts and "train" in parts and options.val_fraction:
        report.notes.append(f"no validation split: {options.val_fraction:.0%} of the training clips become val")
        parts |= _train_and_val(parts["train"], classes, groups, options)
    return {name: parts[name] for name in ("train", "val", "test") if name in parts}


def _count(
    report: PreparationReport, parts: dict[str, np.ndarray], classes: list[tuple[int, ...]], groups: list[str]
) -> None:
    report.groups = len(set(groups))
    for number, name in enumerate(report.classes):
        of_class = np.array([number in labels for labels in classes])
        report.split[name] = [int((of_class & mask).sum()) for part, mask in parts.items() if part in _PRECEDENCE]


def _warn(
    report: PreparationReport, found: Sequence[FoundClip], parts: dict[str, np.ndarray], groups: list[str]
) -> None:
    titles = {"train": "training", "val": "validation", "test": "test"}
    for name, counts in report.split.items():
        for part, clips in zip(parts, counts, strict=False):
            if clips == 0:
                report.warnings.append(f"class {name} has no {titles[part]} clips; it needs more clips or groups")
    for name in sorted({label for clip in found for label in clip.labels} - set(report.split)):
        report.warnings.append(f"class {name} is skipped: none of its clips can be used")
    by_name = {clip.path.as_posix(): clip for clip in found}
    across: dict[tuple[str | None, str | None], int] = {}
    for clip, first in ((by_name[clip], by_name[first]) for clip, first in report.duplicates.items()):
        if clip.labels != first.labels:
            names = f"{clip.path.as_posix()} and {first.path.as_posix()}"
            report.warnings.append(f"{names} are the same clip in two classes; one label is wrong")
        if clip.split != first.split:
            across[clip.split, first.split] = across.get((clip.split, first.split), 0) + 1
    for (split_name, kept), clips in across.items():
        report.warnings.append(
            f"{counted(clips, f'clip of {split_name} is', f'clips of {split_name} are')} also in {kept}; "
            f"skipped in {split_name}"
        )
    evaluated = set().union(*(np.asarray(groups)[mask] for part, mask in parts.items() if part in ("val", "test")))
    torn = sorted(evaluated & set(np.asarray(groups)[parts["train"]])) if "train" in parts else []
    if torn:
        report.warnings.append(
            f"{counted(len(torn), 'group is', 'groups are')} in training and evaluation, first {torn[0]}; "
            f"scores will be high"
        )
