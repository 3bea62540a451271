"""Metrics against scikit-learn, evaluation files and prediction files."""

from __future__ import annotations

import csv
import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    label_ranking_average_precision_score,
    top_k_accuracy_score,
)

from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import EvaluationSet
from trishift.data.lists import VideoRecord
from trishift.data.protocol import Protocol
from trishift.errors import DataError
from trishift.evaluation.calibration import Calibration
from trishift.evaluation.evaluator import Evaluation, evaluate
from trishift.evaluation.metrics import (
    confusion,
    multi_label_metrics,
    sigmoid,
    single_label_metrics,
    softmax,
    topk_accuracy,
)
from trishift.evaluation.prediction import Prediction, predictions_of
from trishift.evaluation.prediction_files import write_rows
from trishift.evaluation.thresholds import choose_thresholds, read_thresholds
from trishift.model.pixels import Normalization
from trishift.model.spec import InputSpec, ModelSpec
from trishift.reporting.evaluation import write_classes, write_confusion, write_result, write_scores


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.concatenate([np.arange(12), rng.integers(0, 12, 188)])
    scores = rng.standard_normal((200, 12)).astype(np.float32)
    scores[np.arange(200), targets] += 1
    return scores, targets


def test_metrics_match_scikit_learn(scored: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = scored
    metrics = single_label_metrics(scores, targets)
    assert metrics.top1 == pytest.approx(top_k_accuracy_score(targets, scores, k=1))
    assert metrics.top5 == pytest.approx(top_k_accuracy_score(targets, scores, k=5))
    assert metrics.mean_class_accuracy == pytest.approx(balanced_accuracy_score(targets, scores.argmax(1)))
    assert confusion(scores, targets).sum() == 200


def test_constant_scores_count_as_wrong() -> None:
    assert topk_accuracy(np.zeros((4, 10)), np.arange(4), 1) == 0
    assert topk_accuracy(np.zeros((4, 3)), np.arange(4) % 3, 5) == 1  # fewer classes than k


def test_mean_class_accuracy_ignores_empty_classes() -> None:
    metrics = single_label_metrics(np.eye(4)[[0, 0, 1]], np.array([0, 0, 2]))
    assert metrics.mean_class_accuracy == pytest.approx(0.5)


@pytest.mark.parametrize("classes", [1, 2, 5, 6, 400])
def test_top_5_is_printed_for_more_than_five_classes(classes: int) -> None:
    scores, targets = np.eye(classes, dtype=np.float32), np.arange(classes)
    for labels, word in ((targets, "top-5"), (np.eye(classes, dtype=np.float32), "P@5")):
        found = Evaluation("", tuple(map(str, targets)), list(map(str, targets)), scores, labels, [])
        assert (word in str(found)) == (classes > 5)
        assert {"top5", "p_at_5"} & found.summary().keys()  # result.json keeps its entries


def multi_label_scores(videos: int = 60, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Scores correlated with their targets; one video has no labels, one class no videos."""
    rng = np.random.default_rng(4)
    targets = (rng.random((videos, classes)) < 0.3).astype(np.float32)
    targets[3], targets[:, 5] = 0, 0
    return (rng.standard_normal((videos, classes)) + targets).astype(np.float32), targets


def test_multi_label_metrics_match_scikit_learn() -> None:
    scores, targets = multi_label_scores()
    metrics = multi_label_metrics(scores, targets)
    labeled, occurring = targets.any(1), targets.any(0)
    ranking = label_ranking_average_precision_score(targets[labeled], scores[labeled])
    assert metrics.sample_map == pytest.approx(ranking)
    by_class = average_precision_score(targets[labeled][:, occurring], scores[labeled][:, occurring], average="macro")
    assert metrics.class_map == pytest.approx(by_class)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 9))
def test_multi_label_metrics_match_the_original(seed: int, videos: int, classes: int) -> None:
    """M4 goes down each video's ranking: hits so far over places so far, at every hit."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(classes, dtype=np.float32), (videos, 1)), axis=1)
    targets = rng.integers(0, 2, (videos, classes)).astype(np.float32)
    targets[0, 0] = 1
    top1, top5, precisions = [], [], []
    for row, truth in zip(scores, targets, strict=True):
        places = [place for place, c in enumerate(np.argsort(-row)) if truth[c]]
        if places:
            top1.append(places[0] < 1)
            top5.append(places[0] < 5)
            precisions.append(np.mean([(hit + 1) / (place + 1) for hit, place in enumerate(places)]))
    metrics = multi_label_metrics(scores, targets)
    expected = np.mean(top1), np.mean(top5), np.mean(precisions)
    assert (metrics.p_at_1, metrics.p_at_5, metrics.sample_map) == pytest.approx(expected)


def test_ties_count_against_the_model_in_multi_label() -> None:
    metrics = multi_label_metrics(np.zeros((3, 8)), np.eye(8)[:3])
    assert (metrics.p_at_1, metrics.p_at_5) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_maximize_f1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, (40, 3)) * np.array([1, 1, 0])
    logits = rng.standard_normal((40, 3)) + 2 * truth
    thresholds = choose_thresholds(logits, truth)
    assert thresholds[2] == 0.5  # no positive video
    for c in range(2):
        found = f1_score(truth[:, c], sigmoid(logits[:, c]) >= thresholds[c])
        assert found == max(f1_score(truth[:, c], logits[:, c] >= value) for value in logits[:, c])


def test_thresholds_come_from_a_number_or_a_result_file(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"thresholds": [0.1, 0.9]}')
    assert read_thresholds(str(tmp_path / "result.json"), 2).tolist() == [0.1, 0.9]
    assert read_thresholds("0.3", 2).tolist() == [0.3, 0.3]
    (tmp_path / "other.json").write_text('{"top1": 0.5}')
    for text, message in (
        (str(tmp_path / "result.json"), "2 classes, but the model has 3"),
        (str(tmp_path / "other.json"), "neither a number nor the result.json"),
        (str(tmp_path / "gone.json"), "neither a number nor the result.json"),
        ("1.5", "between 0 and 1"),
    ):
        with pytest.raises(DataError, match=message):
            read_thresholds(text, 3)


def test_sigmoid_and_softmax_survive_large_logits() -> None:
    assert np.allclose(sigmoid(np.array([1e4, 0.0, -1e4])), [1, 0.5, 0])
    assert np.allclose(softmax(np.array([[1e4, 0.0], [-1e4, -1e4]])), [[1, 0], [0.5, 0.5]])


@pytest.fixture
def evaluation(scored: tuple[np.ndarray, np.ndarray]) -> Evaluation:
    labels = tuple(f"class {i}" for i in range(12))
    names = [f"video {i}.mp4" for i in range(200)]
    return Evaluation("1 clip", labels, names, *scored, [("broken.mp4", "broken.mp4: truncated")])


def test_multi_label_report(tmp_path: Path) -> None:
    scores, targets = multi_label_scores()
    labels, names = tuple("abcdefg"), [f"{i}.mp4" for i in range(len(scores))]
    evaluation = Evaluation("1 clip", labels, names, scores, targets, [])
    write_result(evaluation, tmp_path / "result.json")
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["unlabelled"] == int((~targets.any(1)).sum()) and len(result["thresholds"]) == 7
    assert result["sample_map"] == evaluation.metrics.sample_map
    write_classes(evaluation, tmp_path / "classes.csv")
    rows = list(csv.DictReader((tmp_path / "classes.csv").open()))
    assert [int(row["videos"]) for row in rows] == targets.sum(0).tolist()
    assert rows[5]["average_precision"] == "" and float(rows[5]["threshold"]) == 0.5
    assert float(rows[0]["average_precision"]) == pytest.approx(average_precision_score(targets[:, 0], scores[:, 0]))
    chosen = sigmoid(scores[:, 0]) >= float(rows[0]["threshold"])
    assert float(rows[0]["f1"]) == pytest.approx(f1_score(targets[:, 0], chosen))


def write_predictions(predictions: list[Prediction], path: Path, top_k: int = 2) -> None:
    write_rows([prediction.to_dict(top_k) for prediction in predictions], path)


def test_multi_label_predictions_list_all_above_threshold(tmp_path: Path) -> None:
    logits = np.array([[-1.0, 2.0, 1.0, 0.0], [-3.0, -3.0, -3.0, -2.0]])
    calibration = Calibration(True, thresholds=np.array([0.9, 0.5, 0.5, 0.5]))
    predictions = predictions_of(["a.mp4", "b.mp4"], logits, list("wxyz"), calibration)
    assert [[label for label, _ in p.top(1)] for p in predictions] == [["x", "y", "z"], ["z"]]
    assert predictions[0].text(1) == "a.mp4: [x 88.1%], [y 73.1%], [z 50.0%]"
    assert predictions[1].text(1) == "b.mp4: nothing; z 11.9%"
    for suffix in (".json", ".csv"):
        write_predictions(predictions, tmp_path / f"out{suffix}", 1)
    first, second = json.loads((tmp_path / "out.json").read_text())
    assert (first["labels"], second["labels"]) == (["x", "y", "z"], [])
    assert second["predictions"][0]["applies"] is False
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [(row["label"], row["applies"]) for row in rows] == [("x", "1"), ("y", "1"), ("z", "1"), ("z", "0")]


def test_calibrated_prediction_below_its_threshold_is_nothing(tmp_path: Path) -> None:
    logits = 2 * np.log(np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]]))
    calibration = Calibration(temperature=2.0, thresholds=np.array([0.6, 0.0, 0.0]))
    predictions = predictions_of(["a.mp4", "b.mp4"], logits, ["x", "y", "z"], calibration)
    assert [p.text(2) for p in predictions] == ["a.mp4: [x 70.0%], y 20.0%", "b.mp4: nothing; x 50.0%, y 40.0%"]
    assert [p.predicted for p in predictions] == [("x",), ()]
    write_predictions(predictions, tmp_path / "out.json")
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["labels"] for row in rows] == [["x"], []]
    assert [entry["applies"] for row in rows for entry in row["predictions"]] == [True, False, False, False]
    [plain] = predictions_of(["a.mp4"], logits[1:], ["x", "y", "z"])
    assert (plain.predicted, plain.applies) == (("x",), None)


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


def test_predictions_are_sorted_and_written_in_every_format(tmp_path: Path) -> None:
    logits = np.log(np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]))
    predictions = predictions_of(["a.mp4", "b.mp4"], logits, ["x", "y", "z"])
    assert predictions[0].top(2) == [("y", pytest.approx(0.6)), ("z", pytest.approx(0.3))]
    for suffix in (".json", ".csv", ".pkl"):
        write_predictions(predictions, tmp_path / f"out{suffix}")
    assert json.loads((tmp_path / "out.json").read_text())[1]["predictions"][0]["label"] == "x"
    assert len(list(csv.DictReader((tmp_path / "out.csv").open()))) == 4
    name, probabilities, classes = pickle.loads((tmp_path / "out.pkl").read_bytes())[0]
    assert (name, classes) == ("a.mp4", [1, 2])
    assert probabilities == [pytest.approx(0.6), pytest.approx(0.3)]


class FirstOfTwoRanks:
    """A session whose peer cannot read any video."""

    spec = ModelSpec("resnet10", 3, num_segments=2)
    framework, rank, world_size = "pytorch", 0, 2

    def accept_pixels(self, rule: Normalization) -> bool:
        return False

    def predict(self, clips: np.ndarray, relations: object = None) -> np.ndarray:
        return np.tile(np.float32([1, 2, 3]), (len(clips), 1))

    def gather(self, array: np.ndarray) -> np.ndarray:
        peer = np.full_like(array, -1) if array.dtype.kind == "i" else np.zeros_like(array)
        return np.concatenate([array, peer])


class Device(FirstOfTwoRanks):
    """A session that normalizes pixels itself."""

    world_size = 1
    rule: Normalization | None = None

    def accept_pixels(self, rule: Normalization) -> bool:
        self.rule = rule
        return True

    def predict(self, clips: np.ndarray, relations: object = None) -> np.ndarray:
        assert (clips.dtype == np.uint8) == (self.rule is not None)
        return (clips if self.rule is None else self.rule(clips)).mean((1, 3, 4))

    def prefetch(self, clips: np.ndarray) -> None:
        pass

    def gather(self, array: np.ndarray) -> np.ndarray:
        return array


def folders(path: Path, count: int) -> list[VideoRecord]:
    records = []
    for number in range(count):
        folder = path / f"clip_{number}"
        folder.mkdir()
        for frame in (1, 2):
            Image.new("RGB", (32, 32), (10 * number, 3, 7)).save(folder / f"img_{frame:05d}.jpg")
        records.append(VideoRecord(folder, (number % 3,), 2, number + 1))
    return records


def test_pixels_are_normalized_where_the_network_is(tmp_path: Path) -> None:
    pixels = InputSpec(resize=32, crop=32)
    dataset = EvaluationSet(
        folders(tmp_path, 3), ["a", "b", "c"], ClipReader(pixels, Device.spec), Protocol(crops="ten")
    )
    expected = [rows.mean((0, 1, 3, 4)) for rows in (dataset.load(index).clips for index in range(3))]
    found = evaluate(Device(), dataset, batch_size=4, workers=1)  # type: ignore[arg-type]
    assert dataset.load(0).clips.dtype == np.uint8
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)


def test_misses_of_other_processes_are_listed(tmp_path: Path) -> None:
    records, pixels = folders(tmp_path, 4), InputSpec(resize=32, crop=32)
    dataset = EvaluationSet(records, ["a", "b", "c"], ClipReader(pixels, FirstOfTwoRanks.spec), Protocol())
    evaluation = evaluate(FirstOfTwoRanks(), dataset, batch_size=1, workers=1)  # type: ignore[arg-type]
    assert [Path(name).name for name in evaluation.names] == ["clip_0", "clip_2"]
    assert [Path(name).name for name, _ in evaluation.misses] == ["clip_1", "clip_3"]
    assert "another process" in evaluation.misses[0][1]


def test_one_class_has_no_warnings_of_libraries() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert single_label_metrics(np.ones((4, 1)), np.zeros(4, int)).top1 == 1
        assert multi_label_metrics(np.ones((4, 1)), np.ones((4, 1), int)).p_at_1 == 1
    assert confusion(np.eye(3)[[0, 1, 1]], np.array([0, 1, 2])).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
