"""A clip's way from decoded frames to probabilities, as arrays of its stages, and the distance of two such ways.

Shape legend: F sampled frames of all clips, T segments, C channels of a segment, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trishift.data.transforms import channel_order, crop, crop_boxes, normalize, planar, resize, resized_size
from trishift.data.transforms import stack_segments as stack
from trishift.model.pixels import normalization
from trishift.model.spec import InputSpec, segment_length
from trishift.model.tensors import Tensors

PIXEL_STAGES = ("frames", "resize", "crop", "colors", "normalization")
STAGES = (*PIXEL_STAGES, "weights", "features", "logits", "probabilities")
"""In the order in which they are computed, so the first one that differs is the cause of all others."""

Trace = Mapping[str, np.ndarray]
LEVELS_ROUNDED = 2.0  # gray levels (root mean square), and the largest in one pixel: decoders round colors differently
LEVEL_ROUNDED = 16.0
_WEIGHTS_ROUNDED = 1e-6


@dataclass(frozen=True)
class Pixels:
    """The stages of a model's pixels.

    Attributes:
        input: the pixels that the model expects.
        channels: C.
    """

    input: InputSpec
    channels: int

    @property
    def length(self) -> int:
        """Frames per segment."""
        return segment_length(self.input.modality, self.channels)

    def trace(self, images: np.ndarray, segments: int, start: str = "frames") -> dict[str, np.ndarray]:
        """The pixel stages of pictures (F, H, W, 3) uint8 from one of the first three stages on, with the center crop.

        The last one, `normalization`, is the network's input (clips, T, C, H, W) float32.
        """
        arrays = {start: images}
        if start == "frames":
            height, width = resized_size(images.shape[1], images.shape[2], self.input.resize_size)
            images = arrays["resize"] = resize(images, height, width)
        if start != "crop":
            height, width = images.shape[1:3]
            box = crop_boxes(height, width, self.input.crop_size, "center")[0]
            images = arrays["crop"] = crop(images, box)
        clips = self.clips(normalize(images, self.input), segments)
        return {**arrays, "colors": planar(images, self.input), "normalization": clips}

    def clips(self, frames: np.ndarray, segments: int) -> np.ndarray:
        """Normalized frames (F, 3, H, W) as clips (clips, T, C, H, W)."""
        stacked = stack(frames, self.input, self.length)
        return stacked.reshape(-1, segments, *stacked.shape[1:])

    def frames(self, clips: np.ndarray) -> np.ndarray:
        """The inverse of `clips`, except for frame differences, which stay as they are."""
        return clips.reshape(-1, len(channel_order(self.input)), *clips.shape[-2:])

    def levels(self, difference: np.ndarray) -> np.ndarray:
        """A difference of network inputs (..., C, H, W) in gray levels."""
        return difference / normalization(self.input, self.channels).factors


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

    def predict(self, clips: np.ndarray, relations: Any = None) -> np.ndarray:
        """The predictor's logits (N, K) of clips (N, T, C, H, W)."""
        self.clips, self.logits = clips.copy(), self._predictor.predict(clips, relations)
        return self.logits


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))
