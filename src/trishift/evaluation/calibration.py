"""How a model's logits become probabilities and predictions: a temperature, and a threshold per class.

A class is predicted if its probability reaches its threshold; with one label per video, only the most likely class can
be. A video without such a class is "nothing". Where the numbers come from, in a checkpoint's metadata:

calibration    written by `trishift calibrate`, see `calibrating.py`; it takes precedence
thresholds     of models with several labels, chosen in every evaluation of a training run for temperature 1

Shape legend: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trishift.checkpoints.canonical import CALIBRATION
from trishift.evaluation.metrics import to_probabilities
from trishift.evaluation.thresholds import DEFAULT, ENTRY, read_thresholds
from trishift.model.spec import ModelSpec

NOTHING = "nothing"  # the prediction for a video none of whose classes reaches its threshold


@dataclass(frozen=True, eq=False)
class Calibration:
    """From logits to probabilities and predicted classes.

    Attributes:
        multi_label: whether videos can have several labels.
        temperature: divides the logits.
        thresholds: (K,) least probability of a predicted class; None: the most likely class is always predicted.
        protocol: description of the protocol under which it was measured; empty: unknown.
    """

    multi_label: bool = False
    temperature: float = 1.0
    thresholds: np.ndarray | None = None
    protocol: str = ""

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities (..., K) float64 of logits (..., K)."""
        return to_probabilities(logits.astype(np.float64) / self.temperature, self.multi_label)

    def predicted(self, probabilities: np.ndarray) -> np.ndarray | None:
        """(..., K) bool: the predicted classes for probabilities (..., K); None without thresholds."""
        if self.thresholds is None:
            return None
        reached: np.ndarray = probabilities >= self.thresholds
        if self.multi_label:
            return reached
        return reached & (np.arange(probabilities.shape[-1]) == probabilities.argmax(axis=-1)[..., None])

    def with_thresholds(self, text: str, num_classes: int) -> Calibration:
        """The same with the thresholds of `--thresholds`, see `read_thresholds`."""
        return replace(self, thresholds=read_thresholds(text, num_classes, self.temperature))


def stored_calibration(meta: Mapping[str, Any], spec: ModelSpec, *, raw: bool = False) -> Calibration:
    """The calibration in a checkpoint's metadata.

    Args:
        meta: the metadata.
        spec: the model.
        raw: as if the checkpoint had never been calibrated.
    """
    stored = None if raw else meta.get(CALIBRATION)
    if stored is not None:
        thresholds = np.array(stored["thresholds"], np.float64)
        return Calibration(spec.multi_label, float(stored["temperature"]), thresholds, str(stored.get("protocol", "")))
    if not spec.multi_label:
        return Calibration()
    return Calibration(True, thresholds=np.array(meta.get(ENTRY) or [DEFAULT] * spec.num_classes, np.float64))
