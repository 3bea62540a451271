"""Tables, subtitles and annotations, read again by independent parsers."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from trishift.evaluation.calibration import Calibration
from trishift.reporting.timelines.content import TimelineContent
from trishift.reporting.timelines.elan import eaf_text
from trishift.reporting.timelines.texts import clock, csv_text, json_text, srt_text, vtt_text
from trishift.streaming.events import Event, EventRule
from trishift.streaming.recording import Recording

LABELS = ("wave", 'a "b", <i>c</i>', "x\x00\ny --> z")
EVENTS = (
    Event(0.5, 2.25, 0, 0.875, 3, ((0, 0.875), (1, 0.1))),
    Event(2.25, 3.0, 1, 0.5, 1, ((1, 0.5),)),
    Event(3725.5, 3726.999, 2, 0.999, 2, ((2, 0.999),)),
)


def content(
    events: tuple[Event, ...] = EVENTS, thresholds: np.ndarray | None = None, **changes: object
) -> TimelineContent:
    rule = EventRule(calibration=Calibration(thresholds is not None, thresholds=thresholds))
    settings = {"video": "a.mp4", "labels": LABELS, "window": 2.0, "hop": 0.5, "duration": 4000.0, "windows": 8}
    return TimelineContent(**{**settings, **changes}, rule=rule, events=events, readings=lambda: iter(()))


def test_json() -> None:
    found = json.loads(json_text(content(notes=("assumed",))))
    assert (found["video"], found["window"], found["notes"]) == ("a.mp4", 2.0, ["assumed"])
    assert [(e["start"], e["end"], e["label"]) for e in found["events"]] == [
        (e.start, e.end, LABELS[e.label]) for e in EVENTS
    ]
    assert found["events"][0]["predictions"][1] == {"class": 1, "label": LABELS[1], "probability": 0.1}


def test_csv() -> None:
    header, *rows = csv.reader(io.StringIO(csv_text(content())))
    assert header == ["video", "start", "end", "class", "label", "probability"]
    assert [(float(row[1]), float(row[2]), row[4]) for row in rows] == [
        (e.start, e.end, LABELS[e.label]) for e in EVENTS
    ]


def test_srt() -> None:
    cue = r"(\d+)\n(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})\n([^\n]+)\n(?:\n|$)"
    found = re.findall(cue, srt_text(content()))
    assert "".join(match.group() for match in re.finditer(cue, srt_text(content()))) == srt_text(content())
    times = [tuple(map(int, entry[:-1])) for entry in found]
    assert [entry[0] for entry in times] == [1, 2, 3]
    for (_, h, m, s, ms, h2, m2, s2, ms2), event in zip(times, EVENTS, strict=True):
        assert (h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000) == (event.start, event.end)
    assert found[0][-1] == "wave (88%)" and "<" not in srt_text(content()).replace("-->", "")


def test_vtt() -> None:
    header, *cues = vtt_text(content()).strip().split("\n\n")
    assert header == "WEBVTT" and len(cues) == 3
    assert cues[0] == "00:00:00.500 --> 00:00:02.250\nwave (88%)"
    assert "&lt;i&gt;" in cues[1] and cues[2].count("\n") == 1 and "--&gt;" in cues[2]


@pytest.mark.parametrize("several", [False, True])
def test_eaf(tmp_path: Path, several: bool) -> None:
    video = tmp_path / "ä b.mp4"
    video.touch()
    thresholds = np.full(3, 0.5) if several else None
    root = ET.fromstring(
        eaf_text(content(thresholds=thresholds, recording=Recording(video)), tmp_path / "out").encode()
    )
    assert [child.tag for child in root] == [
        "HEADER", "TIME_ORDER", *["TIER"] * (3 if several else 1), "LINGUISTIC_TYPE"
    ]  # fmt: skip
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None and media.get("MEDIA_URL", "").startswith("file:///")
    assert media.get("RELATIVE_MEDIA_URL") == "./../ä b.mp4"
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(set(slots.values()))
    found = [
        (slots[a.get("TIME_SLOT_REF1")] / 1000, slots[a.get("TIME_SLOT_REF2")] / 1000)
        for a in root.iter("ALIGNABLE_ANNOTATION")
    ]
    assert found == [(event.start, event.end) for event in EVENTS]
    assert len({a.get("ANNOTATION_ID") for a in root.iter("ALIGNABLE_ANNOTATION")}) == 3
    types = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")}
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in root.iter("TIER")} == types


def test_no_events() -> None:
    assert srt_text(content(())) == ""
    assert vtt_text(content(())) == "WEBVTT\n"
    assert len(csv_text(content(())).splitlines()) == 1
    assert ET.fromstring(eaf_text(content(()), Path())).find("TIER") is not None


def test_clock_rounds_to_whole_milliseconds() -> None:
    assert [clock(time) for time in (0, 59.9996, 3599.9999)] == ["00:00:00.000", "00:01:00.000", "01:00:00.000"]
