"""Metrics against scikit-learn, reports and prediction files."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from trishift.errors import DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import confusion, single_label_metrics, softmax, topk_accuracy
from trishift.evaluation.prediction import top_predictions, write_predictions
from trishift.evaluation.reports import write_confusion, write_result, write_scores


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.concatenate([np.arange(12), rng.integers(0, 12, 188)])
    scores = rng.standard_normal((200, 12)).astype(np.float32)
    scores[np.arange(200), targets] += 1
    return scores, targets


def test_metrics_equal_scikit_learn(scored: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = scored
    metrics = single_label_metrics(scores, targets)
    assert metrics.top1 == pytest.approx(top_k_accuracy_score(targets, scores, k=1))
    assert metrics.top5 == pytest.approx(top_k_accuracy_score(targets, scores, k=5))
    assert metrics.mean_class_accuracy == pytest.approx(balanced_accuracy_score(targets, scores.argmax(1)))
    assert confusion(scores, targets).sum() == 200


def test_a_model_that_says_nothing_has_no_accuracy() -> None:
    assert topk_accuracy(np.zeros((4, 10)), np.arange(4), 1) == 0
    assert topk_accuracy(np.zeros((4, 3)), np.arange(4) % 3, 5) == 1  # fewer classes than k


def test_classes_without_videos_do_not_count() -> None:
    metrics = single_label_metrics(np.eye(4)[[0, 0, 1]], np.array([0, 0, 2]))
    assert metrics.mean_class_accuracy == pytest.approx(0.5)


def test_softmax_survives_large_logits() -> None:
    assert np.allclose(softmax(np.array([[1e4, 0.0], [-1e4, -1e4]])), [[1, 0], [0.5, 0.5]])


@pytest.fixture
def evaluation(scored: tuple[np.ndarray, np.ndarray]) -> Evaluation:
    labels = tuple(f"class {i}" for i in range(12))
    names = [f"video {i}.mp4" for i in range(200)]
    return Evaluation("1 clip", labels, names, *scored, [("broken.mp4", "broken.mp4: truncated")])


def test_reports_hold_counts_scores_and_misses(evaluation: Evaluation, tmp_path: Path) -> None:
    write_result(evaluation, tmp_path / "result.json", checkpoint="x")
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["videos"], result["missed"], result["checkpoint"]) == (200, 1, "x")
    assert result["misses"] == [{"name": "broken.mp4", "reason": "broken.mp4: truncated"}]
    write_scores(evaluation, tmp_path / "scores.npz")
    with np.load(tmp_path / "scores.npz") as file:  # no pickles inside
        assert np.array_equal(file["scores"], evaluation.scores)
        assert file["names"].tolist() == evaluation.names
    write_confusion(evaluation, tmp_path / "c.csv", tmp_path / "c.png")
    rows = list(csv.reader((tmp_path / "c.csv").open()))
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 200
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_predictions_are_sorted_and_written_in_every_form(tmp_path: Path) -> None:
    logits = np.log(np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]))
    predictions = top_predictions(["a.mp4", "b.mp4"], logits, ["x", "y", "z"], 2)
    assert predictions[0].pairs() == [("y", pytest.approx(0.6)), ("z", pytest.approx(0.3))]
    for suffix in (".json", ".csv", ".pkl"):
        write_predictions(predictions, tmp_path / f"out{suffix}")
    assert json.loads((tmp_path / "out.json").read_text())[1]["predictions"][0]["label"] == "x"
    assert len(list(csv.DictReader((tmp_path / "out.csv").open()))) == 4
    name, probabilities, classes = pickle.loads((tmp_path / "out.pkl").read_bytes())[0]
    assert (name, classes) == ("a.mp4", [1, 2])
    assert probabilities == [pytest.approx(0.6), pytest.approx(0.3)]
    with pytest.raises(DataError, match=r"\.xml"):
        write_predictions(predictions, tmp_path / "out.xml")
