"""Hand trajectories of the gestures.

Classes come in pairs that differ only in the direction of time: `trajectory` draws a motion of the first class of a
pair, and the reversed motion belongs to the second. As unordered sets, the frames of a clip have the same distribution
in both classes, so only a model that uses frame order can distinguish them.
"""

from __future__ import annotations

import numpy as np

PAIRS = (
    ("Swiping Left", "Swiping Right"),
    ("Swiping Down", "Swiping Up"),
    ("Zooming Out With Full Hand", "Zooming In With Full Hand"),
    ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
)
MOVING = tuple(sorted(name for pair in PAIRS for name in pair))
STILL = "No gesture"
CLASSES = tuple(sorted((STILL, *MOVING)))
"""Class names in index order: alphabetical, as in Jester."""

FRAMES = (16, 24)
"""Minimum and maximum frames per clip, about two seconds at Jester's 12 frames per second."""

X, Y, HEIGHT, ANGLE = range(4)
"""Columns of a trajectory: center as a fraction of the picture (0 is the middle, y points down), height of the hand
as a fraction of the picture, and angle in radians, clockwise from upright."""

_HALF = 0.6  # scale of each of two hands
_TREMOR = np.array([0.006, 0.006, 0.008, 0.03])


def trajectory(pair: int, rng: np.random.Generator, frames: int | None = None) -> np.ndarray:
    """A random motion of the first class of pair number `pair`: (F, 4) float64, in the columns above.

    F is random unless `frames` is given.
    """
    progress = _progress(rng, frames)
    return _pose(pair, progress, rng) + rng.normal(0, _TREMOR, (len(progress), 4))


def stillness(rng: np.random.Generator, frames: int | None = None) -> np.ndarray:
    """A hand holding a random gesture's pose with a slow drift: (F, 4) float64."""
    frames = len(_progress(rng, frames))
    held = _pose(int(rng.integers(len(PAIRS))), rng.uniform(-1, 1, 1), rng)
    drift = np.linspace(-1, 1, frames)[:, None] * rng.normal(0, [0.02, 0.02, 0.02, 0.06])
    return held + drift + rng.normal(0, _TREMOR, (frames, 4))


def beside(poses: np.ndarray, side: int) -> np.ndarray:
    """The same motion (F, 4), scaled down into the left (-1) or right (1) half of the picture."""
    moved = poses * [_HALF, _HALF, _HALF, 1]
    moved[:, X] += side / 4
    return moved


def _progress(rng: np.random.Generator, frames: int | None) -> np.ndarray:
    """Progress from -1 (start) to 1 (end) over `frames` (None for a random number), resting at both ends."""
    frames = frames or int(rng.integers(FRAMES[0], FRAMES[1] + 1))
    begin, end = rng.uniform(0, 0.2), rng.uniform(0.8, 1)
    u = np.clip((np.linspace(0, 1, frames) - begin) / (end - begin), 0, 1)
    return 2 * u * u * (3 - 2 * u) - 1


def _pose(pair: int, progress: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poses (F, 4) at the given progress (F,) of a random performance of a gesture."""
    poses = np.empty((len(progress), 4))
    poses[:] = rng.normal(0, [0.05, 0.05, 0.0, 0.15])
    poses[:, HEIGHT] = rng.uniform(0.55, 0.75)
    bow = rng.normal(0, 0.05) * (1 - progress**2)
    if pair == 0:
        poses[:, X] += -rng.uniform(0.26, 0.42) * progress
        poses[:, Y] += bow
    elif pair == 1:
        poses[:, Y] += rng.uniform(0.26, 0.42) * progress
        poses[:, X] += bow
    elif pair == 2:
        poses[:, HEIGHT] = 0.62 * np.exp(-rng.uniform(0.42, 0.6) * progress)
    else:
        poses[:, ANGLE] += rng.uniform(0.9, 1.4) * progress
    return poses
