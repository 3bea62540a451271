"""The normalization of pixels, the same on the host and on devices.

Shape legend: C channels of a segment, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trishift.model.spec import FRAME_CHANNELS, InputSpec


@dataclass(frozen=True, eq=False)
class Normalization:
    """Turns uint8 pixels into network input: pixel * factor - offset, rounded to float32 after each operation.

    Attributes:
        factors, offsets: (C, 1, 1) float32.
    """

    factors: np.ndarray
    offsets: np.ndarray

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(..., C, H, W) uint8 to float32, on the host."""
        return pixels * self.factors - self.offsets


def normalization(pixels: InputSpec, channels: int) -> Normalization:
    """The normalization of segments, or of frames, with so many channels."""
    frames = channels // FRAME_CHANNELS[pixels.modality]
    factors = [np.float32(pixels.scale / std) for std in pixels.std] * frames
    offsets = [np.float32(mean / std) for mean, std in zip(pixels.mean, pixels.std, strict=True)] * frames
    return Normalization(*(np.array(values, np.float32)[:, None, None] for values in (factors, offsets)))
