"""Metrics of single-label recognition from a score matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metrics:
    """Fractions in [0, 1]; `mean_class_accuracy` averages the recall of the classes that occur."""

    top1: float
    top5: float
    mean_class_accuracy: float

    def __str__(self) -> str:
        mean = self.mean_class_accuracy
        return f"top-1 {self.top1:.2%}, top-5 {self.top5:.2%}, mean class accuracy {mean:.2%}"


def topk_accuracy(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Fraction of rows whose target is among the k highest scores; ties count against the target.

    Args:
        scores: (V, K).
        targets: (V,) class indices.
    """
    own = scores[np.arange(len(targets)), targets][:, None]
    not_lower = (scores >= own).sum(axis=1)  # counts the target itself
    return float(np.mean(not_lower <= k))


def confusion(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(K, K) counts, rows are true classes, columns predicted ones."""
    from sklearn.metrics import confusion_matrix

    matrix: np.ndarray = confusion_matrix(targets, scores.argmax(axis=1), labels=np.arange(scores.shape[1]))
    return matrix


def single_label_metrics(scores: np.ndarray, targets: np.ndarray) -> Metrics:
    """Top-1, top-5 and mean class accuracy of (V, K) scores against (V,) class indices, V > 0."""
    matrix = confusion(scores, targets)
    occurring = matrix.sum(axis=1) > 0
    recall = np.diag(matrix)[occurring] / matrix.sum(axis=1)[occurring]
    top1, top5 = (topk_accuracy(scores, targets, k) for k in (1, 5))
    return Metrics(top1, top5, float(recall.mean()))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities
