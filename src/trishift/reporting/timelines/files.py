"""Write a timeline in the format of the file's suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trishift.io.atomic import write_text
from trishift.reporting.timelines.content import TimelineContent
from trishift.reporting.timelines.elan import eaf_text
from trishift.reporting.timelines.film import write_film
from trishift.reporting.timelines.page import page_text
from trishift.reporting.timelines.texts import csv_text, json_text, srt_text, vtt_text

LINES = ".jsonl"
_WRITERS: dict[str, Callable[[TimelineContent, Path], None]] = {
    ".json": lambda content, path: write_text(path, json_text(content)),
    ".csv": lambda content, path: write_text(path, csv_text(content)),
    ".srt": lambda content, path: write_text(path, srt_text(content)),
    ".vtt": lambda content, path: write_text(path, vtt_text(content)),
    ".eaf": lambda content, path: write_text(path, eaf_text(content, path.parent)),
    ".html": lambda content, path: write_text(path, page_text(content, path.parent)),
    ".mp4": write_film,
}
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
