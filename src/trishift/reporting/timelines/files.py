"""Write a timeline in the format of the file's suffix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from trishift.data.parts import Part, split_part
from trishift.errors import OutputError, named
from trishift.io.atomic import write_text
from trishift.reporting.timelines.content import TimelineContent
from trishift.reporting.timelines.elan import eaf_text
from trishift.reporting.timelines.film import write_film
from trishift.reporting.timelines.journal import LINES
from trishift.reporting.timelines.page import page_text
from trishift.reporting.timelines.texts import csv_text, json_text, srt_text, vtt_text

_WRITERS: dict[str, Callable[[TimelineContent, Path], None]] = {
    ".json": lambda content, path: write_text(path, json_text(content)),
    ".csv": lambda content, path: write_text(path, csv_text(content)),
    ".srt": lambda content, path: write_text(path, srt_text(content)),
    ".vtt": lambda content, path: write_text(path, vtt_text(content)),
    ".eaf": lambda content, path: write_text(path, eaf_text(content, path.parent)),
    ".html": lambda content, path: write_text(path, page_text(content, path.parent)),
    ".mp4": write_film,
}
_NAME, _START, _END = "{name}", "{start}", "{end}"
FORMATS = (LINES, *_WRITERS)
"""Suffixes; `.jsonl` is written while the timeline is computed, see `timelines/journal.py`."""


def write_timeline(content: TimelineContent, path: Path) -> None:
    """Write a timeline, atomically; `.jsonl` files are left as they are.

    Raises:
        OutputError: the file cannot be written.
        DataError: the video cannot be read again, for `.mp4`.
    """
    if path.suffix != LINES:
        _WRITERS[path.suffix](content, path)


def output_files(patterns: Sequence[str], videos: Sequence[str]) -> list[list[Path]]:
    """The output files of each video, with its name in place of `{name}`.

    `{start}` and `{end}` stand for the bounds of a part of a video, as written after it; a whole video has none.

    Raises:
        OutputError: several videos would write the same file.

    Example:
        >>> from trishift.reporting.timelines.files import output_files
        >>> output_files(["{name}.json"], ["day1/cam.mp4", "rtsp://ann:pw@host/live?token=x"])
        [[PosixPath('cam.json')], [PosixPath('live.json')]]
        >>> output_files(["{name}_{start}-{end}.json"], ["cam.mp4#t=1:00,1:02.5", "cam.mp4"])
        [[PosixPath('cam_60-62.5.json')], [PosixPath('cam_-.json')]]
    """
    owners: dict[Path, str] = {}
    files = [[Path(_filled(pattern, video)) for pattern in patterns] for video in videos]
    for paths, video in zip(files, videos, strict=True):
        for path in paths:
            if path in owners:
                remedy = f"write {_NAME} into --output, in place of the video's name"
                if _part(video) and _NAME in str(patterns):
                    remedy = f"add {_START} and {_END} to {_NAME} in --output"
                elif _NAME in str(patterns):
                    remedy = "give the videos different names"
                raise OutputError(f"{path}: is the output of {owners[path]} and of {video}; {remedy}")
            owners[path] = video
    return files


def _filled(pattern: str, video: str) -> str:
    part = _part(video)
    start, end = ("", "") if part is None else (f"{part.start:.10g}", f"{part.end:.10g}")
    return pattern.replace(_NAME, _stem(video)).replace(_START, start).replace(_END, end)


def _is_address(video: str) -> bool:
    return "://" in video and not Path(video).exists()


def _part(video: str) -> Part | None:
    return None if _is_address(video) else split_part(video)[1]


def _stem(video: str) -> str:
    """The name of a video without folders, suffix and part; for an address the last name in it, or the host's."""
    if not _is_address(video):
        file = split_part(video)[0]
        return file.name if file.is_dir() else file.stem
    address = urlsplit(named(video))
    return Path(address.path).stem or address.hostname or "video"
