"""Calibration: figures worked out by hand, direct formulas, and lists that cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from trishift.errors import DataError
from trishift.evaluation.calibrating import (
    FEWEST,
    CalibrationStudy,
    LabeledLogits,
    cross_validate,
    fit_calibration,
    fit_temperature,
)
from trishift.evaluation.calibration import Calibration
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import BINS, calibration_error, mean_nll, sigmoid, softmax
from trishift.evaluation.thresholds import least_threshold, read_thresholds


def overconfident(count: int = 400, factor: float = 3.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `factor` times those whose softmax the classes are drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 4)) * 2
    targets = np.array([rng.choice(4, p=row) for row in softmax(logits)])
    return (factor * logits).astype(np.float32), targets


def videos(logits: np.ndarray, targets: np.ndarray) -> LabeledLogits:
    return LabeledLogits(np.asarray(logits), np.asarray(targets), [str(number) for number in range(len(targets))])


def test_error_of_a_toy_list() -> None:
    """Bins of 1/15: 0.60 lies in (8/15, 9/15], twice 0.72 in (10/15, 11/15], and 0.95 in the last one."""
    best = np.array([0.60, 0.72, 0.72, 0.95])
    probabilities = np.stack([best, 1 - best], axis=1)
    targets = np.array([1, 0, 1, 0])  # wrong, right, wrong, right
    by_hand = 1 / 4 * abs(0.60 - 0) + 2 / 4 * abs(0.72 - 0.5) + 1 / 4 * abs(0.95 - 1)
    assert by_hand == pytest.approx(0.2725)
    assert calibration_error(probabilities, targets) == pytest.approx(by_hand)
    assert calibration_error(np.eye(2), np.array([0, 1])) == 0
    assert calibration_error(np.eye(2), np.array([1, 0])) == 1


def test_error_of_a_toy_list_with_several_labels() -> None:
    probabilities = np.array([[0.5, 0.9], [0.48, 0.0]])  # 0.5 and 0.48 share the bin (7/15, 8/15]
    truth = np.array([[1, 1], [0, 0]])
    by_hand = 2 / 4 * abs((0.5 + 0.48) / 2 - 0.5) + 1 / 4 * abs(0.9 - 1) + 1 / 4 * 0
    assert calibration_error(probabilities, truth) == pytest.approx(by_hand)


def test_error_and_nll_equal_their_definitions() -> None:
    logits, targets = overconfident()
    probabilities = softmax(logits.astype(np.float64))
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    total = 0.0
    for low in np.arange(BINS) / BINS:
        inside = (confidence > low) & (confidence <= low + 1 / BINS)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - hits[inside].mean())
    assert calibration_error(probabilities, targets) == pytest.approx(total)
    own = probabilities[np.arange(len(targets)), targets]
    assert mean_nll(logits, targets) == pytest.approx(-np.log(own).mean())
    truth = np.eye(4)[targets]
    several = sigmoid(logits.astype(np.float64) / 8)
    direct = -(truth * np.log(several) + (1 - truth) * np.log(1 - several)).mean()
    assert mean_nll(logits / 8, truth) == pytest.approx(direct)
    assert mean_nll(np.array([[1000.0, 0.0]]), np.array([1])) == 1000


@pytest.mark.parametrize("several", [False, True])
def test_temperature_minimizes_the_nll(several: bool) -> None:
    logits, targets = overconfident()
    if several:
        rng = np.random.default_rng(1)
        targets = (rng.random(logits.shape) < sigmoid(logits / 3)).astype(np.float32)
    found = fit_temperature(logits, targets)
    assert found == pytest.approx(3, rel=0.15)
    nll = [mean_nll(logits.astype(np.float64) / (found * factor), targets) for factor in (1, 0.99, 1.01)]
    assert nll[0] == min(nll)


def test_temperature_of_logits_that_say_too_much_or_nothing() -> None:
    right = np.array([[5.0, 0.0], [0.0, 0.1]])
    assert fit_temperature(right, np.array([0, 1])) == 1  # a lower one would always be better
    assert fit_temperature(right, np.eye(2)) == 1
    assert fit_temperature(right, np.array([1, 0])) == pytest.approx(100)


def test_thresholds_of_a_toy_list() -> None:
    scores = np.array([0.9, 0.8, 0.6, 0.5, 0.3])
    truth = np.array([True, True, False, True, False])
    assert least_threshold(scores, truth, 0.9) == pytest.approx(0.7)  # 2 of 2 from 0.8 on, 2 of 3 from 0.6 on
    assert least_threshold(scores, truth, 0.75) == pytest.approx(0.4)  # 3 of 4 from 0.5 on
    assert least_threshold(scores, truth, 0.6) == pytest.approx(0.15)  # 3 of 5
    assert least_threshold(scores, truth, 0.9, fewest=3) is None
    assert least_threshold(scores, truth, 0.75, fewest=3) == pytest.approx(0.4)
    assert least_threshold(np.array([0.9, 0.8]), np.array([False, True]), 0.9) is None


def test_thresholds_count_only_the_most_likely_class() -> None:
    rows = [[0.9, 0.1]] * 5 + [[0.6, 0.4]] * 5 + [[0.2, 0.8]] * 5
    targets = np.array([0] * 5 + [1] * 5 + [1] * 5)
    calibration, reasons = fit_calibration(videos(np.log(rows), targets), 0.9)
    fitted = calibration.probabilities(np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])))
    assert calibration.thresholds is not None
    assert fitted[1, 0] < calibration.thresholds[0] < fitted[0, 0]
    assert 0 < calibration.thresholds[1] < fitted[2, 1]  # the videos of class 1 that are taken for 0 do not count
    assert not reasons
    predicted = calibration.predicted(fitted)
    assert predicted is not None and predicted.tolist() == [[True, False], [False, False], [False, True]]


def test_classes_without_enough_videos_get_the_precision_itself() -> None:
    targets = np.array([0] * 30 + [1] * 30 + [2] * 30 + [3] * (FEWEST - 1))
    logits = 3.0 * np.eye(4)[targets] + np.random.default_rng(0).normal(size=(len(targets), 4))
    logits[60:90] = logits[30:60]  # class 2 looks like class 1
    logits[60:64, 2] += 9  # apart from a few videos
    study = CalibrationStudy(videos(logits, targets), Calibration(), 0.9)
    assert study.calibration.thresholds is not None
    assert study.calibration.thresholds[1:].tolist() == [0.9] * 3 and study.calibration.thresholds[0] < 0.9
    assert study.entry()["undetermined"] == [1, 2, 3]
    report = study.report(list("abcd"))
    assert "3 classes have 0.9 itself as threshold" in report
    assert f"  b, c: precision 0.9 is not reached with {FEWEST} right predictions" in report
    assert f"  d: {FEWEST - 1} videos in the list, at least {FEWEST} are needed" in report


@pytest.mark.parametrize("several", [False, True])
def test_calibration_keeps_its_promise_on_other_videos(several: bool) -> None:
    logits, targets = overconfident(count=2000)
    if several:
        targets = (np.random.default_rng(1).random(logits.shape) < sigmoid(logits / 3)).astype(np.float32)
    study = CalibrationStudy(videos(logits, targets), Calibration(several, thresholds=np.full(4, 0.5)), 0.9)
    before, after, validated = study.measured.values()
    assert after.nll < before.nll and validated.nll < before.nll
    assert validated.calibration_error < 0.05 < 0.1 < before.calibration_error
    assert after.precision >= 0.9 and validated.precision == pytest.approx(0.9, abs=0.05)
    assert 0.3 < validated.coverage < 1


def test_cross_validation_keeps_groups_together_and_needs_enough() -> None:
    logits, targets = overconfident(count=100)
    assert cross_validate(videos(logits[:49], targets[:49]), 0.9) is None
    assert cross_validate(LabeledLogits(logits, targets, ["a", "b", "c", "d"] * 25), 0.9) is None
    found = cross_validate(LabeledLogits(logits, targets, [str(number % 5) for number in range(100)]), 0.9)
    assert found is not None
    held, predicted = np.zeros((100, 4)), np.zeros((100, 4), bool)
    for group in range(5):  # one per fold
        own = np.arange(100) % 5 == group
        fitted, _ = fit_calibration(videos(logits[~own], targets[~own]), 0.9)
        held[own] = fitted.probabilities(logits[own])
        predicted[own] = fitted.predicted(held[own])
    assert found.calibration_error == pytest.approx(calibration_error(held, targets))
    assert found.coverage == predicted.any(axis=1).mean()
    study = CalibrationStudy(videos(logits[:40], targets[:40]), Calibration(), 0.9)
    assert "the list has 40 videos in 40 groups, too few" in study.report(list("abcd"))
    assert study.doubt() in study.report(list("abcd"))


def test_doubts_a_calibration_that_does_harm() -> None:
    """Few videos and a model that is calibrated already: there is only noise to fit."""
    harmful, helpful = (
        CalibrationStudy(videos(*overconfident(60, factor, seed=1)), Calibration(), 0.9) for factor in (1.0, 3.0)
    )
    before, _, validated = harmful.measured.values()
    assert validated.nll > before.nll and validated.calibration_error > before.calibration_error + 0.01
    assert "raises the calibration error from 15.69% to 18.04% and the NLL from" in harmful.doubt()
    assert helpful.doubt() == ""


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "no labeled videos"),
        ([[1.0, 2.0], [np.nan, 0.0]], [0, 1], "1.mp4: its logits are not finite, like those of 1 of 2 videos"),
        ([[1.0, np.inf], [0.0, 0.0]], [0, 1], "0.mp4: its logits are not finite"),
        ([[1.0, 2.0], [2.0, 0.0]], [1, 1], "all videos have the same class"),
        ([[1.0, 2.0], [2.0, 0.0]], [[0, 1], [0, 1]], "all videos have the same class"),
        ([[1.0, 2.0], [2.0, 0.0]], [[0, 0], [0, 0]], "all videos have the same class"),
    ],
)
def test_refuses_lists_that_cannot_tell(logits: object, targets: object, message: str) -> None:
    chosen = LabeledLogits(np.array(logits), np.array(targets), [])
    with pytest.raises(DataError, match=message):
        chosen.check([f"{number}.mp4" for number in range(len(chosen.logits))])
    if len(chosen.logits) and chosen.multi_label:
        some = LabeledLogits(chosen.logits, np.array([[0, 1], [0, 0]]), [])
        some.check(["0.mp4", "1.mp4"])  # one class with positives and negatives is enough


def test_thresholds_of_a_file_are_converted_to_the_temperature(tmp_path: object) -> None:
    logits, wanted = np.array([[-1.0, 0.5, 2.0]]), np.array([0.0, 0.7, 1.0])
    path = tmp_path / "result.json"  # type: ignore[operator]
    path.write_text(f'{{"thresholds": {wanted.tolist()}}}')
    plain, hot = Calibration(True, thresholds=wanted), Calibration(True, 2.5).with_thresholds(str(path), 3)
    for shift in np.linspace(-2, 2, 9):
        found = [each.predicted(each.probabilities(logits + shift)) for each in (plain, hot)]
        assert np.array_equal(*found)
    assert read_thresholds("0.3", 3, temperature=2.5).tolist() == [0.3] * 3


def test_evaluation_reports_both_errors_and_the_same_metrics() -> None:
    logits, targets = overconfident()
    raw, calibrated = (
        Evaluation("1 clip", tuple("abcd"), [str(i) for i in range(400)], logits, targets, [], temperature=value)
        for value in (1.0, 3.0)
    )
    assert raw.summary() == calibrated.summary()
    assert set(raw.reliability) == {"calibration_error", "nll"}
    assert calibrated.reliability["raw_nll"] == raw.reliability["nll"] > calibrated.reliability["nll"]
    assert calibrated.reliability["calibration_error"] < raw.reliability["calibration_error"]
