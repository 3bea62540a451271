"""Which probability makes a class a label: chosen per class on labeled videos, kept with the weights.

The losses for several labels rank classes; nothing ties a probability of 0.5 to a label. Shape legend: V videos,
K classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trishift.errors import DataError
from trishift.evaluation.metrics import sigmoid

DEFAULT = 0.5  # of classes about which nothing is known
ENTRY = "thresholds"  # in a checkpoint's meta and in result.json


def choose_thresholds(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(K,) probabilities from which on a class counts, each with the highest F1 of its class.

    A threshold lies halfway between two neighboring probabilities, so that small differences between frameworks do
    not matter. Classes without a positive video get `DEFAULT`.

    Args:
        logits: (V, K).
        targets: (V, K) zeros and ones.
    """
    columns = zip(sigmoid(logits.astype(np.float64)).T, targets.T > 0, strict=True)
    return np.array([_best_threshold(column, truth) if truth.any() else DEFAULT for column, truth in columns])


def _best_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    from sklearn.metrics import precision_recall_curve

    precision, recall, candidates = precision_recall_curve(truth, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    best = int(f1[:-1].argmax())  # the last point stands for no video at all
    below = candidates[best - 1] if best else 0.0
    return float((candidates[best] + below) / 2)


def read_thresholds(text: str, num_classes: int) -> np.ndarray:
    """(K,) thresholds of a number (`0.3`, for all classes) or of the result.json of an evaluation.

    Raises:
        DataError: neither of both, outside of [0, 1], or of another number of classes.
    """
    try:
        values = np.full(num_classes, float(text))
    except ValueError:
        values = _read_file(Path(text))
    if values.shape != (num_classes,):
        raise DataError(f"thresholds {text}: of {values.size} classes, but the model has {num_classes}")
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"thresholds {text}: a probability is within 0 and 1")
    return values


def _read_file(path: Path) -> np.ndarray:
    try:
        return np.array(json.loads(path.read_text(encoding="utf-8"))[ENTRY], np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"thresholds {path}: neither a number nor the result.json of a model with several labels ({error!r})"
        ) from None


def stored_thresholds(meta: Mapping[str, Any], num_classes: int) -> np.ndarray:
    """(K,) thresholds in a checkpoint's meta; `DEFAULT` where it has none."""
    return np.array(meta.get(ENTRY) or [DEFAULT] * num_classes, np.float64)
