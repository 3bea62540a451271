"""Journals: windows are read as they were written, and a later run continues with a whole batch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from trishift.data.protocol import Protocol
from trishift.errors import OutputError
from trishift.evaluation.calibration import Calibration
from trishift.io.line_files import open_lines
from trishift.reporting.timelines.files import output_files
from trishift.reporting.timelines.journal import Journal, journal_settings
from trishift.streaming.events import EventRule, Reading
from trishift.streaming.sources import open_source

LABELS = ("wave", "clap")
READINGS = [Reading(n, n / 2, n / 2 + 2, {1: 0.9, 0: 0.1}) for n in (0, 1, 2, 4, 5, 6)]  # window 3 had no frames
SETTINGS = {"video": "a.mp4", "window": 2.0}


@pytest.mark.parametrize(("batch", "start", "kept"), [(1, 7, 6), (2, 6, 5), (4, 4, 3), (8, 0, 0)])
def test_continues_with_a_whole_batch(tmp_path: Path, batch: int, start: int, kept: int) -> None:
    with open_lines(tmp_path / "a.jsonl") as lines:
        Journal(lines, SETTINGS, LABELS).add(READINGS)
        journal = Journal(lines, SETTINGS, LABELS, batch)
        assert (journal.start, journal.finished) == (start, False)
        assert list(journal.readings()) == READINGS[:kept]
        journal.add(READINGS[kept:])
        assert list(journal.readings()) == READINGS


def test_finished_timelines_are_kept(tmp_path: Path) -> None:
    with open_lines(tmp_path / "a.jsonl") as lines:
        journal = Journal(lines, SETTINGS, LABELS)
        journal.add(READINGS)
        journal.finish(["a note"])
        again = Journal(lines, SETTINGS, LABELS, 4)
        assert (again.finished, again.start, again.notes) == (True, 7, ["a note"])
        assert list(again.readings()) == READINGS


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ('{"timeline": 1, "video": "a.mp4", "window": 3.0}', r"another window \(before 3, now 2\)"),
        ('{"timeline": 1, "video": "b.mp4", "window": 2.0}', "another video"),
        ('{"video": "a.mp4"}', "no timeline of Trishift"),
    ],
)
def test_other_files_are_refused_and_kept(tmp_path: Path, before: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(before + "\n")
    with open_lines(path) as lines, pytest.raises(OutputError, match=message):
        Journal(lines, SETTINGS, LABELS)
    assert path.read_text() == before + "\n"


def test_settings_hold_no_secrets_and_the_calibration() -> None:
    source = open_source("rtsp://ann:pw@host/live?token=abc")
    calibration = Calibration(True, 2.0, np.array([0.5, 0.25]))
    timeline = SimpleNamespace(source=source, protocol=Protocol(), length=2.0, hop=0.5, calibration=calibration)
    rule = EventRule(1.0, 0.6, calibration=calibration)
    settings = journal_settings(timeline, rule, "best.safetensors", None)  # type: ignore[arg-type]
    assert settings["video"] == "rtsp://host/live?token=..."
    assert (settings["temperature"], settings["thresholds"]) == (2.0, [0.5, 0.25])


@pytest.mark.parametrize(
    ("video", "name"),
    [
        ("videos/a.b.mp4", "a.b"),
        ("long.mp4#t=1,2", "long"),
        ("take#3.mp4", "take#3"),
        ("0", "0"),
        ("rtsp://ann:pw@host:554/live/one?token=abc", "one"),
        ("udp://@239.0.0.1:1234", "239.0.0.1"),
        ("file:///videos/a%20b.mp4", "a%20b"),
    ],
)
def test_outputs_are_named_after_videos(video: str, name: str) -> None:
    assert output_files(["out/{name}.json"], [video]) == [[Path(f"out/{name}.json")]]


def test_parts_of_a_video_have_outputs_of_their_own() -> None:
    parts = ["long.mp4#t=1:00,1:02.5", "long.mp4#frames=0,30"]
    assert output_files(["{name}_{start}_{end}.csv"], parts) == [[Path("long_60_62.5.csv")], [Path("long_0_30.csv")]]
    with pytest.raises(OutputError, match=r"is the output of .*; add {start} and {end} to {name} in --output"):
        output_files(["{name}.csv"], parts)
    with pytest.raises(OutputError, match="give the videos different names"):
        output_files(["{name}.csv"], ["a/long.mp4", "b/long.mp4"])
    with pytest.raises(OutputError, match=r"write {name} into --output"):
        output_files(["long.csv"], ["a.mp4", "b.mp4"])
