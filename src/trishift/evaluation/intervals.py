"""Baselines and 95 % intervals, which tell whether a difference between two results means anything.

Shape legend: V videos, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import Metrics, MultiLabelMetrics, multi_label_metrics, single_label_metrics

CONFIDENCE = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a mean over videos.

    Attributes:
        mean, low, high: as fractions.
        method: how it was computed.
    """

    mean: float
    low: float
    high: float
    method: str

    def __str__(self) -> str:
        return f"{self.mean:.1%} ({CONFIDENCE:.0%} interval {self.low:.1%} to {self.high:.1%}, {self.method})"


def interval(values: np.ndarray, groups: Sequence[str] | None = None) -> Interval:
    """The interval of the mean of (V,) values: Wilson's for hits and misses, a bootstrap over groups for the rest.

    Args:
        values: one value per video: 0 or 1, or an average precision.
        groups: videos of one group are not independent; None: all are.
    """
    names = [str(number) for number in range(len(values))] if groups is None else list(groups)
    independent = len(set(names)) == len(names)
    if independent and np.isin(values, (0, 1)).all():
        return _wilson(int(values.sum()), len(values))
    return _bootstrap(np.asarray(values, float), names, lowest=0)


def gain(values: np.ndarray, others: np.ndarray, groups: Sequence[str] | None = None) -> Interval:
    """The interval of the mean difference of two (V,) results for the same videos, a bootstrap over groups."""
    names = [str(number) for number in range(len(values))] if groups is None else groups
    return _bootstrap(values - others, names, lowest=-1)


def _wilson(hits: int, total: int) -> Interval:
    return Interval(hits / total, *wilson_bounds(hits / total, total), "Wilson")


def wilson_bounds(rate: float, total: int) -> tuple[float, float]:
    """Wilson's score interval of a rate, which stays within 0 and 1 and works for few trials."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    spread = z * z / total
    center = (rate + spread / 2) / (1 + spread)
    half = z * np.sqrt(rate * (1 - rate) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, float(center - half)), min(1.0, float(center + half))


def _bootstrap(values: np.ndarray, groups: Sequence[str], lowest: float) -> Interval:
    names, place = grouped(groups, len(values))
    if len(names) == 1:
        return Interval(float(values.mean()), lowest, 1.0, "one group, which says nothing about others")
    sums, counts = np.bincount(place, values), np.bincount(place)
    drawn = drawn_groups(len(names), _RESAMPLES)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(values.mean()), float(low), float(high), f"bootstrap over {len(names)} groups")


def grouped(groups: Sequence[str] | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The (G,) names of groups, and the (V,) group of each of `count` videos; None: every video is its own group."""
    if groups is None:
        return np.arange(count), np.arange(count)
    names, place = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    return names, place


def drawn_groups(count: int, resamples: int) -> np.ndarray:
    """(R, G) how often each group is drawn in a bootstrap; always the same draws."""
    drawn: np.ndarray = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), resamples)
    return drawn


def accuracy(evaluation: Evaluation) -> Interval:
    """The interval of an evaluation's main metric, over its groups."""
    values, groups = video_values(evaluation.scores, evaluation.targets), evaluation.groups
    if groups is not None and evaluation.multi_label:
        groups = [group for group, row in zip(groups, evaluation.targets, strict=True) if row.any()]
    return interval(values, groups)


def video_values(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(V,) contributions of the videos to the main metric: 0 or 1, or with several labels the average precision.

    Args:
        scores: (V, K) logits.
        targets: (V,) class numbers, or (V, K) zeros and ones; unlabeled videos have no value and are left out.
    """
    if targets.ndim == 1:
        own = scores[np.arange(len(targets)), targets][:, None]
        return ((scores >= own).sum(axis=1) == 1).astype(float)  # a tie is a miss, as in `topk_accuracy`
    from sklearn.metrics import average_precision_score

    labeled = targets.any(axis=1)
    rows = zip(targets[labeled], scores[labeled], strict=True)
    return np.array([average_precision_score(truth, row) for truth, row in rows])


def majority_metrics(counts: np.ndarray, targets: np.ndarray) -> Metrics | MultiLabelMetrics:
    """Metrics of a model that only knows how frequent each class is: it ranks all videos' classes by frequency.

    Args:
        counts: (K,) training clips per class.
        targets: as in `video_values`.
    """
    ranks = np.empty(len(counts))
    ranks[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    scores = np.tile(ranks, (len(targets), 1))
    return (multi_label_metrics if targets.ndim == 2 else single_label_metrics)(scores, targets)
