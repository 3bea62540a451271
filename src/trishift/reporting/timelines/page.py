"""Timelines as a self-contained web page: a player, a clickable strip of the events, and probabilities over time."""

from __future__ import annotations

import json
import mimetypes
import os
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from trishift.io.wording import counted
from trishift.reporting.pages.rendering import data_uri, render
from trishift.reporting.timelines.content import TimelineContent

_PLAYABLE = frozenset({".mp4", ".m4v", ".mov", ".webm", ".ogv"})
_MOST_EMBEDDED = 8 * 2**20  # bytes of a video inside the page; larger ones stay beside it
_MOST_POINTS = 2000  # per curve
_MOST_CURVES = 12


def page_text(content: TimelineContent, folder: Path) -> str:
    """The page.

    Args:
        content: the timeline.
        folder: of the page, for the relative address of the video.
    """
    data = json.dumps(_data(content, folder), ensure_ascii=False).replace("<", "\\u003c")  # no text can end the script
    return render("timeline.html", title=PurePath(content.video).name, data=Markup(data))


def _data(content: TimelineContent, folder: Path) -> dict[str, Any]:
    tracks = content.used_labels() if content.several_labels else []
    times, curves = _curves(content)
    return {
        "video": content.video,
        "summary": f"{counted(len(content.events), 'event')} in {content.duration - content.begin:.1f} s; "
        f"{content.windows} windows of {content.window:.3g} s, every {content.hop:.2g} s",
        "source": _source(content.file, folder),
        "begin": round(content.begin, 3),
        "duration": round(content.duration, 3),
        "labels": {label: content.labels[label] for label in {*curves, *content.used_labels()}},
        "colors": {label: content.color(label) for label in {*curves, *content.used_labels()}},
        "events": [
            {
                "start": event.start,
                "end": event.end,
                "label": event.label,
                "probability": event.probability,
                "row": tracks.index(event.label) if tracks else 0,
            }
            for event in content.events
        ],
        "times": times,
        "curves": curves,
        "notes": list(content.notes),
    }


def _curves(content: TimelineContent) -> tuple[list[float], dict[int, list[int]]]:
    """Middles of windows, and the percentages of the classes with the longest events; the highest of neighbors."""
    seconds = dict.fromkeys(content.used_labels(), 0.0)
    for event in content.events:
        seconds[event.label] += event.end - event.start
    shown = sorted(sorted(seconds, key=lambda label: -seconds[label])[:_MOST_CURVES])
    per_point = -(-content.windows // _MOST_POINTS) or 1
    times: list[float] = []
    curves: dict[int, list[int]] = {label: [] for label in shown}
    for place, reading in enumerate(content.readings()):
        if place % per_point == 0:
            times.append(round((reading.start + reading.end) / 2, 2))
            for values in curves.values():
                values.append(0)
        for label, values in curves.items():
            values[-1] = max(values[-1], round(100 * reading.probabilities.get(label, 0.0)))
    return times, curves


def _source(file: Path | None, folder: Path) -> str | None:
    """The address of the video: its content if it is small, or else its relative path."""
    if file is None or not file.is_file():
        return None
    kind = mimetypes.guess_type(file.name)[0] or "video/mp4"
    if file.suffix.lower() in _PLAYABLE and file.stat().st_size <= _MOST_EMBEDDED:
        return data_uri(file.read_bytes(), kind)
    return quote(os.path.relpath(file.resolve(), folder.resolve()).replace(os.sep, "/"))
