"""Journals: windows are read as they were written, and a later run continues with a whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from trishift.errors import OutputError
from trishift.io.line_files import open_lines
from trishift.reporting.timelines.journal import Journal
from trishift.streaming.events import Reading

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
