"""Precision, recall, F1 and average precision per class, with 95 % intervals from a bootstrap over groups of videos.

Shape legend: V videos, K classes, G groups, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trishift.evaluation.intervals import CONFIDENCE, drawn_groups, grouped, wilson_bounds
from trishift.evaluation.metrics import to_probabilities
from trishift.evaluation.thresholds import choose_thresholds

_RESAMPLES = 2000
_FEWEST_RESAMPLES = 200  # of average precisions, which cost the most
_MOST_WORK = 2e8  # resamples times videos times classes of average precisions: some seconds


@dataclass(frozen=True)
class Bounds:
    """Values of classes and their intervals: (K,) each, NaN where undefined."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class ClassResults:
    """Results of some classes.

    Attributes:
        classes: (C,) their numbers; all arrays below are in this order.
        videos: (C,) videos of the class.
        predicted: (C,) videos for which it is predicted.
        precision, recall, f1, average_precision: see `Bounds`.
        method: how the intervals were computed.
    """

    classes: np.ndarray
    videos: np.ndarray
    predicted: np.ndarray
    precision: Bounds
    recall: Bounds
    f1: Bounds
    average_precision: Bounds
    method: str


def decisions(scores: np.ndarray, targets: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(V, C) bool each: where some of the classes are true, and where they are predicted.

    With one label per video, the best class is predicted; with several, those above the thresholds of these videos.
    """
    if targets.ndim == 1:
        return targets[:, None] == classes, scores.argmax(axis=1)[:, None] == classes
    chosen = to_probabilities(scores.astype(np.float64), multi_label=True) >= choose_thresholds(scores, targets)
    return (targets > 0)[:, classes], chosen[:, classes]


def class_results(
    scores: np.ndarray, targets: np.ndarray, groups: Sequence[str] | None = None, most: int | None = None
) -> ClassResults:
    """Results per class, with intervals over groups of videos that belong together.

    Args:
        scores: (V, K) finite logits.
        targets: (V,) class indices, or (V, K) zeros and ones.
        groups: V groups; None: all videos are independent.
        most: only so many classes, those with the lowest F1.

    Example:
        >>> from trishift.evaluation.class_results import class_results
        >>> scores = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> class_results(scores, np.array([0, 1, 1])).recall.value.tolist()
        [1.0, 0.5]
    """
    order = np.arange(scores.shape[1])
    if most is not None and most < len(order):
        order = _worst(scores, targets, most)
    truth, chosen = decisions(scores, targets, order)
    names, place = grouped(groups, len(scores))
    drawn = drawn_groups(len(names), _RESAMPLES)  # (R, G)
    sums = [_per_group(matrix, place, len(names)) for matrix in (truth & chosen, chosen, truth)]
    independent = len(names) == len(scores)
    return ClassResults(
        classes=order,
        videos=truth.sum(axis=0),
        predicted=chosen.sum(axis=0),
        precision=_ratio(sums[0], sums[1], drawn, independent),
        recall=_ratio(sums[0], sums[2], drawn, independent),
        f1=_ratio(2 * sums[0], sums[1] + sums[2], drawn, False),
        average_precision=_average_precisions(_shares(scores, targets.ndim == 2, order), truth, drawn, place),
        method="Wilson, and a bootstrap over videos" if independent else f"bootstrap over {len(names)} groups",
    )


def _worst(scores: np.ndarray, targets: np.ndarray, most: int) -> np.ndarray:
    """The classes with the lowest F1 among those that occur, in order."""
    if targets.ndim == 1:
        best, classes = scores.argmax(axis=1), scores.shape[1]
        hits, chosen, true = (np.bincount(found, minlength=classes) for found in (best[best == targets], best, targets))
    else:
        truth, predicted = decisions(scores, targets, np.arange(scores.shape[1]))
        hits, chosen, true = (matrix.sum(axis=0) for matrix in (truth & predicted, predicted, truth))
    f1 = np.where(true > 0, 2 * hits / np.maximum(chosen + true, 1), np.inf)
    return np.sort(np.argsort(f1, kind="stable")[:most])


def _shares(scores: np.ndarray, multi_label: bool, classes: np.ndarray) -> np.ndarray:
    """(V, C) probabilities of some classes."""
    chosen = scores[:, classes].astype(np.float64)
    if multi_label:
        return to_probabilities(chosen, multi_label=True)
    highest = scores.max(axis=1, keepdims=True)
    return np.exp(chosen - highest) / np.exp(scores - highest).sum(axis=1, keepdims=True, dtype=np.float64)


def _per_group(matrix: np.ndarray, place: np.ndarray, count: int) -> np.ndarray:
    """(G, C) sums of (V, C) over the videos of each group."""
    sums = np.zeros((count, matrix.shape[1]))
    np.add.at(sums, place, matrix)
    return sums


def _ratio(above: np.ndarray, below: np.ndarray, drawn: np.ndarray, independent: bool) -> Bounds:
    """Ratios of sums over groups, (G, C) each.

    Wilson's interval replaces the bootstrap for independent videos, and where all resamples agree: few groups that are
    all right, or all wrong, prove nothing about the next one.
    """
    counts = below.sum(axis=0)
    value = _divided(above.sum(axis=0), counts)
    low, high = _quantiles(_divided(drawn @ above, drawn @ below))
    trials = (below > 0).sum(axis=0)  # groups that count
    for column in np.flatnonzero(counts):
        if independent or low[column] == high[column]:
            low[column], high[column] = wilson_bounds(value[column], trials[column])
    return Bounds(value, low, high)


def _average_precisions(scores: np.ndarray, truth: np.ndarray, drawn: np.ndarray, place: np.ndarray) -> Bounds:
    """Average precisions of (V, C) scores; without intervals where these would take too long."""
    once = np.ones((1, len(scores)))
    value = np.array([_resampled_precision(s, t, once)[0] for s, t in zip(scores.T, truth.T, strict=True)])
    low, high = np.full((2, len(value)), np.nan)
    resamples = int(min(len(drawn), _MOST_WORK / max(scores.size, 1)))
    if resamples >= _FEWEST_RESAMPLES:
        for column in np.flatnonzero(truth.any(axis=0)):
            found = _resampled_precision(scores[:, column], truth[:, column], drawn[:resamples, place])
            [low[column]], [high[column]] = _quantiles(found[:, None])
            if low[column] == high[column]:
                low[column], high[column] = wilson_bounds(value[column], len(np.unique(place[truth[:, column]])))
    return Bounds(value, low, high)


def _resampled_precision(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,) average precisions of (V,) scores, with weights (R, V); the same as scikit-learn's, ties included."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last of equal scores
    weighted = weights[:, order].astype(np.float64)
    retrieved = np.cumsum(weighted, axis=1)[:, ends]
    right = np.cumsum(weighted * truth[order], axis=1)[:, ends]
    gained = np.diff(right, axis=1, prepend=0)
    return _divided((gained * _divided(right, retrieved, empty=0.0)).sum(axis=1), right[:, -1])


def _divided(above: np.ndarray, below: np.ndarray, empty: float = np.nan) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), empty), where=below > 0)


def _quantiles(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bounds (C,) of (R, C) values, leaving out those that are not defined."""
    ordered = np.sort(resampled, axis=0)  # NaN last
    last = np.maximum(np.isfinite(ordered).sum(axis=0) - 1, 0)
    low, high = (
        np.take_along_axis(ordered, np.round(share * last).astype(int)[None], axis=0)[0]
        for share in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    )
    return low, high
