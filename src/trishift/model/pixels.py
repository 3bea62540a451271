"""The pixels of a segment: their normalization, the same on the host and on devices, and how many frames they are of.

Shape legend: C channels of a segment, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trishift.errors import RecipeError
from trishift.model.spec import FRAME_CHANNELS, InputSpec, Modality


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


def segment_length(modality: Modality, in_channels: int) -> int:
    """Consecutive frames per segment of C channels.

    RGB: C / 3 (1 frame; 5 frames in the windows of MSN and TDN, of 15 channels). Flow: C / 2 pairs of x and y. RGB
    differences: one frame more than differences, so 6 for 15 channels.

    Raises:
        RecipeError: C is not a multiple of the modality's channels per frame.
    """
    frames, rest = divmod(in_channels, FRAME_CHANNELS[modality])
    if rest:
        raise RecipeError(
            f"model.in_channels: {in_channels} is not a multiple of the {FRAME_CHANNELS[modality]} channels per frame "
            f"({modality}); RGB frames have 3, five flow pairs 10, five differences 15"
        )
    return frames + 1 if modality == "rgbdiff" else frames
