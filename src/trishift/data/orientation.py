"""Setting frames upright: the eight orientations that a display matrix can ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

_DISPLAY_MATRIX = "DISPLAYMATRIX"


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become shown ones: transpose, then mirror, then flip.

    Attributes:
        transposed: exchange rows and columns.
        mirrored: exchange left and right.
        flipped: exchange top and bottom.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, ...) as stored to (H', W', ...) as shown, a view."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]


def orientation(frame: VideoFrame) -> Orientation:
    """The orientation that a frame's display matrix asks for; angles in between become the nearest quarter turn."""
    data = frame.side_data.get(_DISPLAY_MATRIX)
    if data is None:
        return Orientation()
    # (x, y) is shown at (a x + c y, b x + d y), in 16.16 fixed point; a 3 x 3 matrix in rows.
    buffer: Any = data  # a side data object has a buffer, which its type does not tell
    a, b, _, c, d = np.frombuffer(buffer, np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)
