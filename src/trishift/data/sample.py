"""A clip as a data set loads it, and the problems that it may have.

Shape legend: V views, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Target = np.int64 | np.ndarray


@dataclass(frozen=True)
class Sample:
    """One clip.

    Attributes:
        clips: (V, T, C, H, W) float32, or uint8, see `ClipDataset.normalization`.
        target: class number (-1: unknown), or (K,) float32 of zeros and ones in multi-label sets.
        valid: false if the clip could not be read; its pixels are then zero.
    """

    clips: np.ndarray
    target: Target
    valid: bool = True


@dataclass(frozen=True)
class Problem:
    """A problem with a clip.

    Attributes:
        reason: one line that names the clip.
        unreadable: whether the clip cannot be read at all.
    """

    reason: str
    unreadable: bool
