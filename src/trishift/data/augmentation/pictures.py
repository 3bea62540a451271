"""Pillow operations on the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

Operation = Callable[[Image.Image], Image.Image]


def recolor(frames: np.ndarray, operation: Operation) -> np.ndarray:
    """Apply a color operation to (T, H, W, 3) uint8 with one mapping for all frames."""
    count, height, width, channels = frames.shape
    strip = np.ascontiguousarray(frames).reshape(count * height, width, channels)
    return np.asarray(operation(Image.fromarray(strip))).reshape(frames.shape)


def per_frame(frames: np.ndarray, operation: Operation) -> np.ndarray:
    """Apply an operation that looks at neighboring pixels to each frame of (T, H, W, 3) uint8."""
    return np.stack([np.asarray(operation(Image.fromarray(frame))) for frame in np.ascontiguousarray(frames)])
