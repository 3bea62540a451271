"""A long video of gestures with known times: clips one after another, the hand at rest before and after each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trishift.data.gestures.encoding import FRAME_RATE, write_clip
from trishift.data.sources import open_clip

REST = 8, 24  # frames for which the hand rests before a gesture, and after it


class Performed(NamedTuple):
    """A gesture of the long video."""

    start: float
    end: float
    label: int


def compose(path: Path, clips: Sequence[tuple[Path, int]], seed: int = 0) -> list[Performed]:
    """Write clips (path, label) as one video; returns their times in seconds."""
    rng, pieces, performed, count = np.random.default_rng(seed), [], [], 0
    for clip_path, label in clips:
        with open_clip(clip_path) as clip:
            frames = clip.read(range(clip.num_frames))
        before, after = rng.integers(*REST, size=2)
        start = count + before
        performed.append(Performed(start / FRAME_RATE, (start + len(frames)) / FRAME_RATE, label))
        pieces += [np.repeat(frames[:1], before, axis=0), frames, np.repeat(frames[-1:], after, axis=0)]
        count = start + len(frames) + after
    write_clip(path, np.concatenate(pieces))
    return performed
