"""Results per class equal scikit-learn's, and their intervals contain the truth as often as they claim."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from trishift.evaluation.class_results import _resampled_precision, class_results
from trishift.evaluation.metrics import softmax


@pytest.mark.parametrize("seed", range(5))
def test_values_equal_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 12))
    scores = rng.standard_normal((80, classes)).round(1)  # with ties
    targets = rng.integers(0, classes, 80)
    found = class_results(scores, targets)
    expected = precision_recall_fscore_support(
        targets, scores.argmax(1), labels=range(classes), average=None, zero_division=np.nan
    )
    for bounds, values in zip((found.precision, found.recall, found.f1), expected, strict=False):
        np.testing.assert_allclose(bounds.value, values)
    np.testing.assert_array_equal(found.videos, expected[3])
    shares = softmax(scores)
    precisions = [average_precision_score(targets == k, shares[:, k]) for k in range(classes)]
    np.testing.assert_allclose(found.average_precision.value, precisions)
    for bounds in (found.precision, found.recall, found.f1, found.average_precision):
        known = np.isfinite(bounds.value)
        assert (bounds.low[known] <= bounds.value[known] + 1e-9).all()
        assert (bounds.high[known] >= bounds.value[known] - 1e-9).all()


def test_resampled_average_precision_equals_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    scores, truth = rng.integers(0, 6, 40) / 5, rng.random(40) < 0.3
    weights = rng.integers(0, 3, (4, 40))
    expected = [average_precision_score(truth, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(_resampled_precision(scores, truth, weights), expected)


def test_several_labels_are_decided_by_thresholds() -> None:
    truth = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    found = class_results(np.where(truth, 2.0, -2.0), truth)
    assert found.f1.value.tolist() == found.average_precision.value.tolist() == [1, 1]
    assert (found.f1.low < 1).all(), "four videos prove little"


def test_groups_widen_intervals() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(2), 100)
    right = np.repeat(rng.random(20) < 0.7, 10)  # ten videos of a group are all right or all wrong
    scores = np.eye(2)[np.where(right, targets, 1 - targets)]
    alone, grouped = class_results(scores, targets), class_results(scores, targets, [str(i // 10) for i in range(200)])
    assert (grouped.recall.high - grouped.recall.low > 1.5 * (alone.recall.high - alone.recall.low)).all()
    assert "20 groups" in grouped.method


def test_the_worst_of_many_classes() -> None:
    scores = np.eye(10_000, dtype=np.float32)[:300]
    targets = np.arange(300)
    targets[:3] = 299
    found = class_results(scores, targets, most=50)
    assert len(found.classes) == 50 and 299 in found.classes and found.classes.max() < 300


def test_one_class() -> None:
    found = class_results(np.zeros((5, 1)), np.zeros(5, int))
    assert found.f1.value == [1] and found.recall.low < 1
