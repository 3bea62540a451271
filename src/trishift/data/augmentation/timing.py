"""Temporal jitter: clips that run faster, slower or backward."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from trishift.data.augmentation.bounds import Range
from trishift.data.sampling import SamplingSpec, training_clip


def stretched_clip(
    spec: SamplingSpec,
    num_frames: int,
    num_segments: int,
    length: int = 1,
    *,
    rng: np.random.Generator,
    fps: float | None = None,
    speed: Range = (1.0, 1.0),
) -> np.ndarray:
    """Sample a training clip at a random speed.

    Modes that span the whole video sample a random stretch of it: at speed 0.5, half of its frames, so motion between
    two segments is half as large. `dense` makes its window longer or shorter. A stretch is never so short that frames
    repeat which would not repeat in the whole video.

    Arguments and result are those of `training_clip`; `speed` is the range of speeds, drawn log-uniformly.
    """
    if speed == (1.0, 1.0):
        return training_clip(spec, num_frames, num_segments, length, rng=rng, fps=fps)
    factor = math.exp(rng.uniform(math.log(speed[0]), math.log(speed[1])))
    if spec.mode == "dense":
        spec = replace(spec, window=max(1, round(spec.window * factor)))
        return training_clip(spec, num_frames, num_segments, length, rng=rng, fps=fps)
    stretch = min(num_frames, max(round(num_frames * factor), num_segments + length - 1))
    start = int(rng.integers(num_frames - stretch + 1))
    return start + training_clip(spec, stretch, num_segments, length, rng=rng, fps=fps)
