"""A clip's way from decoded frames to probabilities, as arrays of its stages, and the distance of two such ways.

Shape legend: F sampled frames of all clips, T segments, C channels of a segment, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trishift.data.stages import PIXEL_STAGES, Pixels
from trishift.model.tensors import Tensors

STAGES = (*PIXEL_STAGES, "weights", "features", "logits", "probabilities")
"""In the order in which they are computed, so the first one that differs is the cause of all others."""

Trace = Mapping[str, np.ndarray]
LEVELS_ROUNDED = 2.0  # gray levels (root mean square), and the largest in one pixel: decoders round colors differently
LEVEL_ROUNDED = 16.0
_WEIGHTS_ROUNDED = 1e-6


@dataclass(frozen=True)
class Gap:
    """How far an array is from the expected one.

    Attributes:
        size: of pixels, the root mean square in gray levels; else the largest difference over the largest value.
        parts: whether that is more than rounding.
        words: the shapes, if they differ, or what is not finite.
    """

    size: float
    parts: bool
    words: str = ""


def gap(stage: str, found: np.ndarray, expected: np.ndarray, pixels: Pixels, tolerance: float) -> Gap:
    """Compare the arrays of a stage; `tolerance` is that of features, logits and probabilities."""
    if found.shape != expected.shape:
        return Gap(np.inf, True, f"shape {_shape(found)}, expected {_shape(expected)}")
    difference = found.astype(np.float64) - expected
    if not np.isfinite(difference).all():
        return Gap(np.inf, True, "not finite" if np.isfinite(expected).all() else "the expected numbers are not finite")
    if stage in PIXEL_STAGES:
        levels = pixels.levels(difference) if stage == "normalization" else difference
        size, largest = float(np.sqrt(np.square(levels).mean())), float(np.abs(levels).max())
        return Gap(size, size > LEVELS_ROUNDED or largest > LEVEL_ROUNDED)
    if stage == "weights":
        size = float((np.abs(difference) / np.maximum(expected[:, :1], np.finfo(np.float32).tiny)).max())
        return Gap(size, size > _WEIGHTS_ROUNDED)
    size = float(np.abs(difference).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))
    return Gap(size, size > tolerance)


def fingerprint(tensors: Tensors) -> np.ndarray:
    """(N, 2) root mean square of each tensor, and of its product with a ramp, which sees other orders of its values."""
    rows = []
    for _, tensor in sorted(tensors.items()):
        values = tensor.astype(np.float64).ravel()
        rows.append([np.sqrt(np.square(values).mean()), (values * np.linspace(-1, 1, values.size)).mean()])
    return np.array(rows)


class Recorder:
    """A predictor that keeps the clips it is given and the logits it returns: see `backends.contract.Predictor`.

    Attributes:
        clips, logits: of the last prediction.
    """

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self.clips = self.logits = np.empty(0, np.float32)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def accept_pixels(self, rule: Any) -> bool:
        """False, so that the clips are what the network gets."""
        return False

    def predict(self, clips: np.ndarray, relations: Any = None) -> np.ndarray:
        """The predictor's logits (N, K) of clips (N, T, C, H, W)."""
        self.clips, self.logits = clips.copy(), self._predictor.predict(clips, relations)
        return self.logits


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))
