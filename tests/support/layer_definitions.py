"""Temporal shift and deformable convolution by definition, in numpy, for the tests of all backends."""

from __future__ import annotations

import numpy as np

from trishift.model.spec import ShiftSpec


def shifted(x: np.ndarray, segments: int, shift: ShiftSpec) -> np.ndarray:
    """`ShiftSpec`, frame by frame and channel by channel: (N * T, C, H, W) in and out."""
    clips = x.reshape(-1, segments, *x.shape[1:])
    result = np.zeros_like(clips)
    channels = clips.shape[2]
    fold = channels // shift.div
    first, second = (1, -1) if shift.order == "future_first" else (-1, 1)
    end = 2 * fold if shift.order == "future_first" else 2 * channels // shift.div  # as Paddle's operator
    if shift.direction == "unidirectional":
        first, end = -1, fold
    for t in range(segments):
        for channel in range(channels):
            source = t + (first if channel < fold else second if channel < end else 0)
            if 0 <= source < segments:
                result[:, t, channel] = clips[:, source, channel]
    return result.reshape(x.shape)


def tap_by_tap(x: np.ndarray, offset: np.ndarray, k: int) -> np.ndarray:
    """Values at the taps, position by position: (N, C, H, W) and offsets (N, 2 K, H, W) to (N, C * K, H, W)."""
    maps, channels, height, width = x.shape
    seen = np.zeros((maps, channels, k * k, height, width))
    for n, tap, row, column in np.ndindex(maps, k * k, height, width):
        y = row + tap // k - k // 2 + offset[n, 2 * tap, row, column]
        z = column + tap % k - k // 2 + offset[n, 2 * tap + 1, row, column]
        for i, j in np.ndindex(height, width):
            seen[n, :, tap, row, column] += max(0, 1 - abs(y - i)) * max(0, 1 - abs(z - j)) * x[n, :, i, j]
    return seen.reshape(maps, -1, height, width)


def convolve(x: np.ndarray, offset: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The deformable convolution of (N, C, H, W) with a kernel (C', C, k, k)."""
    taps = tap_by_tap(x, offset, weight.shape[-1])
    return np.einsum("oc,nchw->nohw", weight.reshape(len(weight), -1), taps) + bias[:, None, None]


def slopes_at_rest(x: np.ndarray, k: int) -> np.ndarray:
    """Gradient of the sum over all taps and positions with respect to zero offsets: (2 K,).

    For taps inside the map, this is the slope to the next pixel (zero beyond the border); for taps outside, zero.
    """
    height, width = x.shape
    around = np.pad(x, ((0, 1), (0, 1)))
    slopes = np.stack([around[1:, :-1] - x, around[:-1, 1:] - x])
    padded = np.pad(slopes, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    views = [padded[:, i : i + height, j : j + width].sum((1, 2)) for i in range(k) for j in range(k)]
    return np.concatenate(views)
