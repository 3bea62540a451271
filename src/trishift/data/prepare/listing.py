"""Write the lists, labels and report of one's own clips, and their converted forms."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from trishift.data.lists import VideoRecord, write_labels, write_list
from trishift.data.parts import split_part
from trishift.data.prepare.checking import CheckedClip
from trishift.data.prepare.conversion import Conversion
from trishift.data.prepare.discovery import FoundClip
from trishift.data.prepare.files import REPORT, replacing, write_json
from trishift.data.prepare.options import SplitOptions
from trishift.data.prepare.report import PreparationReport
from trishift.errors import DataError
from trishift.io.threads import map_in_threads

_TEMPLATE = "img_{:05d}.jpg"
_LIST_NAMES = ("train", "val", "test")
GROUPS = "groups.csv"
"""List of all clips with their groups, if groups were requested."""


def clip_records(
    directory: Path,
    output: Path,
    clips: Sequence[FoundClip],
    checked: Sequence[CheckedClip],
    classes: Sequence[int],
    options: SplitOptions,
    report: PreparationReport,
) -> list[VideoRecord | None]:
    """A record per clip, of its converted form if requested; None for clips that cannot be converted."""
    frames = {clip.path: clip.num_frames for clip in checked}
    paths: list[tuple[Path, int] | str] = [(directory / clip.path, frames[clip.path]) for clip in clips]
    if options.convert is not None:
        conversion = Conversion(options.convert, options.short_side, _TEMPLATE)
        names = target_names(directory, clips)
        paths = map_in_threads(
            lambda clip: _convert(conversion, directory / clip.path, conversion.target(output, names[clip.path])),
            clips,
            options.workers,
            f"making {options.convert}",
        )
    records: list[VideoRecord | None] = []
    for line, (clip, result, label) in enumerate(zip(clips, paths, classes, strict=True), 1):
        if isinstance(result, str):
            report.broken[clip.path.as_posix()] = result
            records.append(None)
        else:
            records.append(VideoRecord(result[0], (label,), result[1], line))
    return records


def target_names(directory: Path, clips: Sequence[FoundClip]) -> dict[Path, str]:
    """Names of converted clips: their paths without suffix, unless two clips would share one.

    Raises:
        DataError: a clip is a part of a video.
    """
    names: dict[Path, str] = {}
    for clip in clips:
        if split_part(directory / clip.path)[1] is not None:
            raise DataError(f"{clip.path}: parts of videos cannot be converted; omit --reencode and --frames")
        path = clip.path.with_suffix("")
        names[clip.path] = "/".join(part for part in path.parts if part not in (path.anchor, ".."))
    count = Counter(names.values())
    return {
        path: name if count[name] == 1 else f"{name}{path.suffix.replace('.', '_')}" for path, name in names.items()
    }


def _convert(conversion: Conversion, source: Path, target: Path) -> tuple[Path, int] | str:
    """(converted clip, frames), or the reason why there is none; frame folders stay as is."""
    try:
        if source.is_dir():
            return source, Conversion("frames", 0, _TEMPLATE).finished_frames(source) or 0
        if target.exists() and target.stat().st_mtime < source.stat().st_mtime:  # the clip was replaced
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        return target, conversion.finished_frames(target) or conversion.convert(source, target)
    except DataError as error:
        return str(error)


def write_results(
    output: Path,
    parts: dict[str, np.ndarray],
    records: Sequence[VideoRecord | None],
    report: PreparationReport,
    force: bool,
) -> None:
    """Write lists, labels and report together.

    Args:
        output: folder; created if missing.
        parts: list name to an (N,) mask of its clips.
        records: N records; None for clips that are not listed.
        report: receives the names of the lists.
        force: replace files that differ.

    Raises:
        DataError: a list would be empty, or `output` holds different lists and `force` is not set.
        OutputError: `output` cannot be written.
    """
    lists = {
        name: [record for record, chosen in zip(records, mask, strict=True) if chosen and record is not None]
        for name, mask in parts.items()
    }
    empty = next((name for name, listed in lists.items() if not listed), None)
    if empty is not None:
        raise DataError(f"prepare: {empty}.txt would be empty; there are too few clips or groups for this split")
    with replacing(output, force) as fresh:
        suffix = _write_lists(fresh, lists, output)
        if suffix == ".csv":
            report.notes.append("the lists are CSV files, because a path does not fit a plain list: train.csv, ...")
        report.lists = {f"{name}{suffix}": len(listed) for name, listed in lists.items()}
        write_labels(fresh / report.labels, report.classes)
        grouped = [record for record in records if record is not None and record.group is not None]
        if grouped:
            write_list(fresh / GROUPS, grouped, root=output)
        stale = sorted(
            path.name
            for path in output.glob("*")
            if path.stem in _LIST_NAMES and path.suffix in (".txt", ".csv") and path.name not in report.lists
        ) + [GROUPS] * ((output / GROUPS).exists() and not grouped)
        if stale:
            report.warnings.append(f"from an earlier run, not replaced: {', '.join(stale)}")
        write_json(fresh / REPORT, asdict(report))


def _write_lists(fresh: Path, lists: dict[str, list[VideoRecord]], output: Path) -> str:
    """Write plain lists, or CSV lists if a path does not fit a plain one; returns their suffix."""
    try:
        for name, records in lists.items():
            write_list(fresh / f"{name}.txt", records, root=output)
        return ".txt"
    except DataError:
        for name in lists:
            (fresh / f"{name}.txt").unlink(missing_ok=True)
    for name, records in lists.items():
        write_list(fresh / f"{name}.csv", records, root=output)
    return ".csv"
