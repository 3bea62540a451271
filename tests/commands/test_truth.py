"""Predictions of labeled lists are shown with their true labels."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from trishift.commands.shared.inputs import Truth, labels_of, listed, truth_summary
from trishift.data.lists import ClipList
from trishift.evaluation.prediction import Miss, Prediction

NAMES = ("clap", "wave\x1b")


def predicted(name: str, best: int) -> Prediction:
    return Prediction(name, NAMES, np.eye(2)[best])


def test_true_labels_and_their_count(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\na.mp4,clap\nb.mp4,wave\x1b\n")
    options = argparse.Namespace(filelist=tmp_path / "list.csv", root=None)
    videos = ClipList(records=[*ClipList.of([Path("c.mp4")]), *listed(options.filelist, None)])
    truth = Truth(labels_of(videos, options, NAMES), NAMES)
    assert truth.note(0, predicted("c.mp4", 0)) == ""
    assert truth_summary(truth.take_counts()) == ""
    assert truth.note(1, predicted(str(tmp_path / "a.mp4"), 0)) == "; true: clap"
    assert truth.note(2, predicted(str(tmp_path / "b.mp4"), 0)) == "; true: wave\\u001b (wrong)"
    assert truth.note(2, Miss("b.mp4", "b.mp4: damaged")) == ""
    assert truth_summary(truth.take_counts()).startswith("1 of 2 labeled videos right: 50.0% (95% interval")
    assert not truth.take_counts()


def test_lists_without_labels(tmp_path: Path) -> None:
    for text in ("a.mp4\nb c.mp4\n", "a.mp4 7\nb.mp4 0\n"):  # the latter of another model
        (tmp_path / "list.txt").write_text(text)
        options = argparse.Namespace(filelist=tmp_path / "list.txt", root=None)
        videos = listed(options.filelist, None)
        assert labels_of(videos, options, NAMES).label_counts() == {(): 2}


def test_plain_names_that_end_in_numbers(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("run 3\nwalk 12\n")
    assert [record.path.name for record in listed(tmp_path / "list.txt", None)] == ["run", "walk"]
    (tmp_path / "walk 12").mkdir()
    assert [record.path.name for record in listed(tmp_path / "list.txt", None)] == ["run 3", "walk 12"]
