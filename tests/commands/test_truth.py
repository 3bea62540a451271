"""Predictions of labeled lists are shown with their true labels."""

from __future__ import annotations

from pathlib import Path

from trishift.commands.shared.inputs import Truth, labels_of
from trishift.evaluation.prediction import Prediction

NAMES = ("clap", "wave\x1b")


def predicted(name: str, best: int) -> Prediction:
    return Prediction(name, (best,), (0.9,), (NAMES[best],))


def test_true_labels_and_their_count(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\na.mp4,clap\nb.mp4,wave\x1b\n")
    truth = Truth(labels_of(tmp_path / "list.csv", None, NAMES), NAMES)
    assert not truth.known
    assert truth.note(predicted(str(tmp_path / "a.mp4"), 0)) == "; true: clap"
    assert truth.note(predicted(str(tmp_path / "b.mp4"), 0)) == "; true: wave\\u001b (wrong)"
    assert truth.note(predicted("c.mp4", 0)) == ""
    assert truth.known and truth.summary().startswith("1 of 2 labeled videos right: 50.0% (95% interval")


def test_lists_without_labels(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.mp4\nb c.mp4\n")
    assert labels_of(tmp_path / "list.txt", None, NAMES) == labels_of(None, None, NAMES) == {}
