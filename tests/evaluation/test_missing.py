"""Tests of `trishift.evaluation.missing`."""

from __future__ import annotations

from pathlib import Path

from trishift.data.lists import read_list
from trishift.evaluation.missing import missing_rows
from trishift.evaluation.prediction import Miss


def test_the_file_is_a_list_whatever_the_names(tmp_path: Path) -> None:
    names = ["#1.mp4", "a,b.mp4", 'a"b.mp4', "a b.mp4", "-a.mp4", "é.mp4", "caf\udce9.mp4", "a.mp4#t=1,2"]
    misses = [Miss(name, "not a video,\nor damaged") for name in ["a\nb.mp4", "a\r\nb.mp4", *names]]
    path = tmp_path / "p.jsonl.missing.csv"
    path.write_bytes(missing_rows(misses[:1], header=True) + missing_rows(misses[1:], header=False))
    clips = read_list(path, has_labels=False)
    assert list(clips.names) == [r"a\nb.mp4", r"a\r\nb.mp4", *names]
