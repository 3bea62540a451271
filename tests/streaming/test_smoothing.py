"""Smoothing: from flickering logits to the displayed class."""

from __future__ import annotations

import numpy as np
import pytest

from trishift.errors import RecipeError
from trishift.evaluation.calibration import Calibration
from trishift.streaming.smoothing import Smoother, Smoothing
from trishift.streaming.watching import Observation


def one_hot(*labels: int, classes: int = 5) -> np.ndarray:
    return 10.0 * np.eye(classes)[list(labels)]


def shown(smoothing: Smoothing, logits: np.ndarray) -> list[int]:
    smoother = Smoother(smoothing)
    return [smoother.update(row).label for row in logits]


def demo(logits: np.ndarray) -> list[int]:
    """The online demo's rule as its source states it, with the history that its FPGA version begins with."""
    history, recent, result = [2, 2], [], []
    for row in logits:
        recent = [*recent, row][-12:]
        index = int(np.argmax(sum(recent)))
        if index in [7, 8, 21, 22, 3]:
            index = history[-1]
        if index == 0:
            index = 2
        if index != history[-1] and history[-1] != history[-2]:
            index = history[-1]
        history = [*history, index][-20:]
        result.append(index)
    return result


@pytest.mark.parametrize("seed", range(5))
def test_matches_the_original_demo(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(300, 27)) + 2 * np.eye(27)[rng.integers(27, size=300)]
    labels = shown(Smoothing.original_demo(), logits)
    assert labels == demo(logits)
    assert len(set(labels)) > 5
    assert not {0, 3, 7, 8, 21, 22} & set(labels)


def test_demo_rule_survives_an_early_change() -> None:
    assert shown(Smoothing.original_demo(), one_hot(16, 16, classes=27)) == [16, 16]


def test_multi_label_uses_thresholds() -> None:
    smoother = Smoother(Smoothing(window=2), Calibration(True, thresholds=np.array([0.5, 0.9, 0.1])))
    first = smoother.update(np.array([3.0, 1.0, -2.0]))  # probabilities 0.95, 0.73, 0.12
    assert (first.label, first.present) == (0, (0, 2))
    assert first.probability == pytest.approx(1 / (1 + np.exp(-3)))
    assert smoother.update(np.array([-9.0, 5.0, -4.0])).present == (1,)  # means -3, 3, -3
    assert smoother.update(np.array([-9.0, -9.0, -9.0])).present == ()


def test_calibrated_class_below_its_threshold_is_nothing() -> None:
    smoother = Smoother(Smoothing(), Calibration(temperature=2.0, thresholds=np.array([0.7, 0.0])))
    found = [smoother.update(2 * np.log(np.array(row))) for row in ([0.8, 0.2], [0.6, 0.4], [0.4, 0.6])]
    assert [(each.label, each.present) for each in found] == [(0, (0,)), (0, ()), (1, (1,))]
    assert found[0].probability == pytest.approx(0.8)
    texts = [Observation(0, 0.0, 0, "a", 0.8, labels) for labels in (("a",), ())]
    assert [each.caption for each in texts] == ["a (80.0%)", "nothing"]
    assert texts[1].as_json() == {"frame": 0, "time": 0.0, "label": 0, "name": "a", "probability": 0.8, "labels": ()}


def test_default_does_not_smooth() -> None:
    assert shown(Smoothing(), one_hot(1, 4, 0, 0, 2)) == [1, 4, 0, 0, 2]


def test_window_averages_logits() -> None:
    logits = np.array([[0.0, 3.0], [2.0, 0.0], [2.0, 0.0]])  # means of two: (0, 3), (1, 1.5), (2, 0)
    smoother = Smoother(Smoothing(window=2))
    found = [smoother.update(row) for row in logits]
    assert [s.label for s in found] == [1, 1, 0]
    assert found[1].probability == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_change_requires_agreement() -> None:
    assert shown(Smoothing(agreement=3), one_hot(1, 2, 2, 1, 2, 2, 2, 1)) == [1, 1, 1, 1, 1, 1, 2, 2]


def test_class_is_held() -> None:
    assert shown(Smoothing(hold=3), one_hot(1, 2, 3, 4, 4, 1, 0)) == [1, 1, 1, 4, 4, 4, 0]


def test_masks_and_aliases() -> None:
    smoothing = Smoothing(masked=frozenset({3}), aliases={0: 2})
    assert shown(smoothing, one_hot(1, 3, 0, 3, 4)) == [1, 1, 2, 2, 4]


def test_first_class_is_never_masked() -> None:
    assert shown(Smoothing(masked=frozenset({3})), np.array([[0.0, 1.0, 0.5, 9.0]])) == [1]
    assert shown(Smoothing(masked=frozenset({3}), initial=2), np.array([[0.0, 1.0, 0.5, 9.0]])) == [2]


def test_reset_discards_history() -> None:
    smoother = Smoother(Smoothing(window=4, hold=9))
    smoother.update(one_hot(1)[0])
    smoother.reset()
    assert smoother.update(one_hot(2)[0]).label == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0}, "window must be 1 or more"),
        ({"masked": frozenset({2}), "aliases": {0: 2}}, "class 2 is masked"),
        ({"masked": frozenset({2}), "initial": 2}, "class 2 is masked"),
    ],
)
def test_rejects_contradictory_settings(settings: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Smoothing(**settings)


def test_rejects_classes_the_model_lacks() -> None:
    Smoothing.original_demo().check_classes(27)
    with pytest.raises(RecipeError, match="the model has 9 classes"):
        Smoothing.original_demo().check_classes(9)
    with pytest.raises(RecipeError, match="leave at least one"):
        Smoothing(masked=frozenset({0, 1})).check_classes(2)
