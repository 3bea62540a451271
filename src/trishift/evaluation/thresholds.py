"""Per-class probability thresholds: chosen on labeled videos, or given by the user.

Multi-label losses only rank classes, so 0.5 is no meaningful threshold. How thresholds are stored and applied is up to
`calibration.py`. Shape legend: V videos, K classes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from trishift.errors import DataError, brief, shortened
from trishift.evaluation.metrics import sigmoid
from trishift.io.regular import check_regular
from trishift.io.typed import misplaced_boolean

DEFAULT = 0.5  # for classes without positive videos
ENTRY = "thresholds"  # in a checkpoint's meta and in result.json


def choose_thresholds(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(K,) minimum probabilities, each with the highest F1 of its class.

    Each threshold is halfway between two neighboring probabilities, so that small differences between frameworks do
    not matter. Classes without positive videos get `DEFAULT`.

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
    return _just_below(candidates, int(f1[:-1].argmax()))  # the last point predicts no video


def least_threshold(probabilities: np.ndarray, truth: np.ndarray, precision: float, fewest: int = 1) -> float | None:
    """The lowest threshold above which a class is predicted with a precision, halfway between two probabilities.

    Args:
        probabilities: (V,) of the class.
        truth: (V,) bool, whether it is true; at least one is.
        precision: share of the predictions that must be right.
        fewest: number of predictions that must be right; a single lucky one proves nothing.

    Returns:
        The threshold; None if no threshold reaches the precision.
    """
    from sklearn.metrics import precision_recall_curve

    reached, recall, candidates = precision_recall_curve(truth, probabilities)
    right = np.rint(recall * truth.sum())
    enough = np.flatnonzero((reached >= precision)[:-1] & (right >= fewest)[:-1])
    return _just_below(candidates, int(enough[0])) if len(enough) else None


def _just_below(candidates: np.ndarray, place: int) -> float:
    """Halfway from a probability to the next lower one, or to 0."""
    below = candidates[place - 1] if place else 0.0
    return float((candidates[place] + below) / 2)


def read_thresholds(text: str, num_classes: int, temperature: float = 1.0) -> np.ndarray:
    """(K,) thresholds from a number (`0.3`, for all classes) or from an evaluation's result.json.

    Args:
        text: the number, or the path of the file.
        num_classes: K.
        temperature: that of the model. The thresholds in a file were chosen for temperature 1 and are converted.

    Raises:
        DataError: it is neither, a threshold is outside [0, 1], or the number of classes differs.
    """
    factor = 1.0
    try:
        values = np.full(num_classes, float(text))
    except (ValueError, OverflowError):
        values, factor = _read_file(Path(text)), temperature
    if values.shape != (num_classes,):
        raise DataError(f"thresholds {shortened(text)}: {values.size} classes, but the model has {num_classes}")
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"thresholds {shortened(text)}: must be between 0 and 1")
    if factor == 1:
        return values
    with np.errstate(divide="ignore"):  # 0 and 1 stay what they are
        return sigmoid((np.log(values) - np.log1p(-values)) / factor)


def _read_file(path: Path) -> np.ndarray:
    try:
        check_regular(path)
        values = json.loads(path.read_text(encoding="utf-8"))[ENTRY]
        if misplaced_boolean(float, values) is not None:
            raise ValueError("a boolean among the thresholds")
        return np.array(values, np.float64)
    except OSError as error:
        reason = str(error.strerror)
    except RecursionError:
        reason = "nested too deeply"
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        reason = brief(error)
    name = shortened(path)
    raise DataError(f"thresholds {name}: neither a number nor the result.json of a multi-label model ({reason})")
