"""The stages of a clip's pixels, from decoded frames to the network's input, each as an array.

Shape legend: F sampled frames of all clips, T segments, C channels of a segment, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trishift.data.transforms import (
    Box,
    channel_order,
    crop,
    crop_boxes,
    normalize,
    planar,
    resize,
    resized_size,
    stack_segments,
)
from trishift.model.pixels import normalization, segment_length
from trishift.model.spec import InputSpec

PIXEL_STAGES = ("frames", "resize", "crop", "colors", "normalization")


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
            images = arrays["crop"] = crop(images, self.box(images.shape[1], images.shape[2]))
        clips = self.clips(normalize(images, self.input), segments)
        return {**arrays, "colors": planar(images, self.input), "normalization": clips}

    def box(self, height: int, width: int) -> Box:
        """The center crop of resized pictures."""
        return crop_boxes(height, width, self.input.crop_size, "center")[0]

    def clips(self, frames: np.ndarray, segments: int) -> np.ndarray:
        """Normalized frames (F, 3, H, W) as clips (clips, T, C, H, W)."""
        stacked = stack_segments(frames, self.input, self.length)
        return stacked.reshape(-1, segments, *stacked.shape[1:])

    def frames(self, clips: np.ndarray) -> np.ndarray:
        """The inverse of `clips`, except for frame differences, which stay as they are."""
        return clips.reshape(-1, len(channel_order(self.input)), *clips.shape[-2:])

    def levels(self, difference: np.ndarray) -> np.ndarray:
        """A difference of network inputs (..., C, H, W) in gray levels."""
        return difference / normalization(self.input, self.channels).factors
