"""Write the lists, labels and report of one's own clips, and their converted forms."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
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
from trishift.io.wording import counted

_TEMPLATE = "img_{:05d}.jpg"
_LIST_NAMES = ("train", "val", "test")
GROUPS = "groups.csv"
"""List of all clips with their groups, if groups were requested."""


def convert_clips(
    directory: Path,
    output: Path,
    clips: Sequence[FoundClip],
    checked: Mapping[Path, CheckedClip],
    options: SplitOptions,
) -> dict[Path, CheckedClip]:
    """Convert clips below `output`, in threads and with a progress bar; those that fail have a problem."""
    conversion = Conversion(options.convert or "frames", options.short_side, _TEMPLATE)
    names = target_names(directory, clips)
    converted = map_in_threads(
        lambda clip: _convert(conversion, directory, checked[clip.path], conversion.target(output, names[clip.path])),
        clips,
        options.workers,
        f"making {options.convert}",
    )
    return {clip.path: clip for clip in converted}


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


def _convert(conversion: Conversion, directory: Path, clip: CheckedClip, target: Path) -> CheckedClip:
    """The clip with its converted form and that form's frames, or with a problem; frame folders stay as is."""
    source = directory / clip.path
    if source.is_dir():
        return clip
    try:
        if target.exists() and target.stat().st_mtime < source.stat().st_mtime:  # the clip was replaced
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        num_frames = conversion.finished_frames(target) or conversion.convert(source, target)
        return replace(clip, num_frames=num_frames, converted=target)
    except DataError as error:
        return replace(clip, num_frames=0, problem=str(error))


def _size(records: Sequence[VideoRecord | None]) -> str:
    """The number of clips and, if they are grouped, of groups."""
    clips = [record for record in records if record is not None]
    groups = {clip.group for clip in clips} - {None}
    return counted(len(clips), "clip") + (f" in {counted(len(groups), 'group')}" if groups else "")


def write_results(
    output: Path,
    parts: dict[str, np.ndarray],
    records: Sequence[VideoRecord],
    report: PreparationReport,
    force: bool,
) -> None:
    """Write lists, labels and report together.

    Args:
        output: folder; created if missing.
        parts: list name to an (N,) mask of its clips.
        records: N records.
        report: receives the names of the lists.
        force: replace files that differ.

    Raises:
        DataError: a list would be empty, or `output` holds different lists and `force` is not set.
        OutputError: `output` cannot be written.
    """
    lists = {
        name: [record for record, chosen in zip(records, mask, strict=True) if chosen] for name, mask in parts.items()
    }
    empty = next((name for name, listed in lists.items() if not listed), None)
    if empty is not None:
        size = _size(records)
        raise DataError(f"prepare: {empty}.txt would be empty: {size} cannot fill it; add some, or split otherwise")
    with replacing(output, force) as fresh:
        several = any(len(record.labels) > 1 for listed in lists.values() for record in listed)
        suffix = _write_lists(fresh, lists, output, several)
        if suffix == ".csv":
            why = "clips have several labels" if several else "a path does not fit a plain list"
            report.notes.append(f"the lists are CSV files, because {why}: train.csv, ...")
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


def _write_lists(fresh: Path, lists: dict[str, list[VideoRecord]], output: Path, several: bool) -> str:
    """Write plain lists, or CSV lists if clips have several labels or odd paths; returns their suffix."""
    try:
        for name, records in lists.items() if not several else ():
            write_list(fresh / f"{name}.txt", records, root=output)
        if not several:
            return ".txt"
    except DataError:
        for name in lists:
            (fresh / f"{name}.txt").unlink(missing_ok=True)
    for name, records in lists.items():
        write_list(fresh / f"{name}.csv", records, root=output)
    return ".csv"
