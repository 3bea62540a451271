"""Timelines as JSON, CSV and subtitles."""

from __future__ import annotations

import csv
import io
import json
from html import escape
from typing import Any

from trishift.reporting.timelines.content import TimelineContent
from trishift.streaming.events import Event


def json_text(content: TimelineContent) -> str:
    """An object with the settings, and the events with their most likely classes."""
    described: dict[str, Any] = {
        "video": content.video,
        "duration": round(content.duration, 3),
        "window": content.window,
        "hop": content.hop,
        "windows": content.windows,
        **content.settings,
        "notes": list(content.notes),
        "events": [_json_event(content, event) for event in content.events],
    }
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def _json_event(content: TimelineContent, event: Event) -> dict[str, Any]:
    return {
        "start": event.start,
        "end": event.end,
        "class": event.label,
        "label": content.labels[event.label],
        "probability": event.probability,
        "windows": event.windows,
        "predictions": [
            {"class": label, "label": content.labels[label], "probability": value} for label, value in event.predictions
        ],
    }


def csv_text(content: TimelineContent) -> str:
    """A row per event: video, start and end in seconds, class, label, probability."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["video", "start", "end", "class", "label", "probability"])
    for event in content.events:
        times = f"{event.start:.3f}", f"{event.end:.3f}"
        row = [content.video, *times, event.label, content.labels[event.label], f"{event.probability:.6f}"]
        writer.writerow(row)
    return buffer.getvalue()


def srt_text(content: TimelineContent) -> str:
    """SubRip subtitles; angle brackets of class names are replaced, as players read them as markup."""
    cues = []
    for number, event in enumerate(content.events, 1):
        text = content.caption(event).replace("<", "‹").replace(">", "›")
        cues.append(f"{number}\n{clock(event.start, ',')} --> {clock(event.end, ',')}\n{text}\n")
    return "\n".join(cues)


def vtt_text(content: TimelineContent) -> str:
    """WebVTT subtitles."""
    cues = [
        f"{clock(event.start)} --> {clock(event.end)}\n{escape(content.caption(event), quote=False)}\n"
        for event in content.events
    ]
    return "\n".join(["WEBVTT\n", *cues])


def clock(seconds: float, separator: str = ".") -> str:
    """Seconds as hours:minutes:seconds with milliseconds.

    Example:
        >>> from trishift.reporting.timelines.texts import clock
        >>> clock(3725.5)
        '01:02:05.500'
    """
    total = round(seconds * 1000)
    minutes, milliseconds = divmod(total, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{separator}{milliseconds % 1000:03d}"
