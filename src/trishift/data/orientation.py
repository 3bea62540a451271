"""Display matrices: the eight orientations of a stored frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

_DISPLAY_MATRIX = "DISPLAYMATRIX"


@dataclass(frozen=True)
class Orientation:
    """Transformation from stored to displayed pixels: transpose, then mirror, then flip.

    Attributes:
        transposed: swap rows and columns.
        mirrored: swap left and right.
        flipped: swap top and bottom.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Transform stored pixels (H, W, ...) to displayed ones (H', W', ...); returns a view."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]


class Orientations:
    """The orientations of a stream's frames, for frames that are kept for a while.

    PyAV's frames and their side data refer to each other, so a kept frame whose side data was read stays until
    a full garbage collection. They are therefore read for the first frame, and where the rotation changes.
    """

    def __init__(self) -> None:
        self._rotation: int | None = None
        self._last = Orientation()

    def of(self, frame: VideoFrame) -> Orientation:
        """The orientation of the next frame."""
        if frame.rotation != self._rotation:
            self._rotation, self._last = frame.rotation, orientation(frame)
        return self._last


def orientation(frame: VideoFrame) -> Orientation:
    """Read the orientation from a frame's display matrix; other angles are rounded to the nearest quarter turn."""
    data = frame.side_data.get(_DISPLAY_MATRIX)
    if data is None:
        return Orientation()
    # (x, y) is displayed at (a x + c y, b x + d y), in 16.16 fixed point; a 3 x 3 matrix in rows.
    buffer: Any = data  # supports the buffer protocol, which its type does not declare
    a, b, _, c, d = np.frombuffer(buffer, np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)
