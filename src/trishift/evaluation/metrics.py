"""Recognition metrics of a score matrix, for single-label and multi-label tasks.

Shape legend: V videos, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15  # of the calibration error, of equal width


@dataclass(frozen=True)
class Metrics:
    """Single-label metrics in [0, 1]; `mean_class_accuracy` is the mean recall of the classes that occur."""

    top1: float
    top5: float
    mean_class_accuracy: float

    def text(self, num_classes: int) -> str:
        """One line; without top-5 where it means nothing, with at most five classes."""
        top5 = f", top-5 {self.top5:.2%}" if num_classes > 5 else ""
        return f"top-1 {self.top1:.2%}{top5}, mean class accuracy {self.mean_class_accuracy:.2%}"


@dataclass(frozen=True)
class MultiLabelMetrics:
    """Multi-label metrics in [0, 1], over videos with at least one label (M4's P@1, P@5 and mAP).

    Attributes:
        p_at_1, p_at_5: share of videos with a true class among the 1 or 5 highest scores.
        sample_map: average precision of each video's class ranking, mean over videos.
        class_map: average precision of each class's video ranking, mean over classes that occur.
    """

    p_at_1: float
    p_at_5: float
    sample_map: float
    class_map: float

    def text(self, num_classes: int) -> str:
        """One line; without P@5 where it means nothing, with at most five classes."""
        p_at_5 = f", P@5 {self.p_at_5:.2%}" if num_classes > 5 else ""
        return (
            f"P@1 {self.p_at_1:.2%}{p_at_5}, mAP {self.sample_map:.2%} over samples, {self.class_map:.2%} over classes"
        )


def topk_accuracy(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Fraction of rows whose target is among the k highest scores; ties count against the target.

    Args:
        scores: (V, K).
        targets: (V,) class indices.
        k: 1 or more.
    """
    own = scores[np.arange(len(targets)), targets][:, None]
    not_lower = (scores >= own).sum(axis=1)  # counts the target itself
    return float(np.mean(not_lower <= k))


def confusion(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(K, K) counts; rows are true classes, columns predicted classes."""
    classes = scores.shape[1]
    pairs = classes * targets.astype(np.int64) + scores.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def single_label_metrics(scores: np.ndarray, targets: np.ndarray) -> Metrics:
    """Top-1, top-5 and mean class accuracy of (V, K) scores against (V,) class indices, V > 0."""
    found = targets, targets[scores.argmax(axis=1) == targets]
    counts, right = (np.bincount(numbers, minlength=scores.shape[1]) for numbers in found)
    recall = right[counts > 0] / counts[counts > 0]
    top1, top5 = (topk_accuracy(scores, targets, k) for k in (1, 5))
    return Metrics(top1, top5, float(recall.mean()))


def multi_label_metrics(scores: np.ndarray, targets: np.ndarray) -> MultiLabelMetrics:
    """Metrics of (V, K) scores against (V, K) zeros and ones; at least one entry must be one."""
    from sklearn.metrics import average_precision_score

    labeled = targets.any(axis=1)
    scores, targets = scores[labeled], targets[labeled] > 0
    p_at_1, p_at_5 = (hit_rate(scores, targets, k) for k in (1, 5))
    sample_map = average_precision_score(targets, scores, average="samples")
    return MultiLabelMetrics(p_at_1, p_at_5, float(sample_map), float(np.nanmean(class_precisions(scores, targets))))


def hit_rate(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Fraction of rows with a positive among the k highest scores; ties count against the positive.

    Args:
        scores: (V, K).
        targets: (V, K) bool.
        k: 1 or more.
    """
    best = np.where(targets, scores, -np.inf).max(axis=1, keepdims=True)
    not_lower = (~targets & (scores >= best)).sum(axis=1)
    return float(np.mean(not_lower < k))


def class_precisions(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(K,) average precision per class of (V, K) scores and targets; NaN for classes that do not occur."""
    from sklearn.metrics import average_precision_score

    columns = zip(scores.T, targets.T, strict=True)
    return np.array([average_precision_score(y, s) if y.any() else np.nan for s, y in columns])


def calibration_error(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Expected calibration error: by how much probabilities and frequencies differ, averaged over `BINS` bins.

    Bin i holds the probabilities in (i / BINS, (i + 1) / BINS]. Each adds |mean probability - frequency|, weighted by
    its share. With one label per video, these are the probability of the most likely class and how often it is true
    (Guo et al. 2017); with several, every pair of a video and a class counts. Few videos make the error too large.

    Args:
        probabilities: (V, K), V > 0.
        targets: (V,) class indices, or (V, K) zeros and ones.

    Example:
        >>> from trishift.evaluation.metrics import calibration_error
        >>> sure = np.array([[0.9, 0.1], [0.9, 0.1]])  # right in one of two videos: |0.9 - 0.5|
        >>> round(calibration_error(sure, np.array([0, 1])), 6)
        0.4
    """
    count, confidence, frequency = reliability_bins(probabilities, targets)
    return float((count * np.abs(confidence - frequency)).sum() / count.sum())


def reliability_bins(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(3, BINS): the number of probabilities in each bin of `calibration_error`, their mean, and how often they hold.

    Args:
        probabilities: (V, K), V > 0.
        targets: (V,) class indices, or (V, K) zeros and ones.
    """
    if targets.ndim == 1:
        confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    else:
        confidence, hits = probabilities.ravel(), targets.ravel() > 0
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    count, *sums = (np.bincount(bins, weights, BINS) for weights in (None, confidence, hits))
    return np.array([count, *(each / np.maximum(count, 1) for each in sums)])


def mean_nll(logits: np.ndarray, targets: np.ndarray) -> float:
    """Negative log-likelihood (natural logarithm), mean over videos, or over pairs of a video and a class.

    Args:
        logits: (V, K), V > 0.
        targets: (V,) class indices, or (V, K) zeros and ones.
    """
    logits = logits.astype(np.float64)
    if targets.ndim == 2:
        return float(np.logaddexp(0, np.where(targets > 0, -logits, logits)).mean())
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]).mean())


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of mutually exclusive classes, over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of independent classes."""
    small = np.exp(-np.abs(logits))
    probabilities: np.ndarray = np.where(logits < 0, small, 1) / (1 + small)
    return probabilities


def to_probabilities(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    """Probabilities of logits (..., K): sigmoid for multi-label tasks, else softmax."""
    return sigmoid(logits) if multi_label else softmax(logits)


def to_logits(probabilities: np.ndarray, multi_label: bool) -> np.ndarray:
    """The inverse of `to_probabilities` (softmax: up to a constant); finite for zeros and ones as well."""
    limits = np.finfo(probabilities.dtype)
    logits: np.ndarray = np.log(np.maximum(probabilities, limits.tiny))
    return logits - np.log(np.maximum(1 - probabilities, limits.epsneg)) if multi_label else logits
