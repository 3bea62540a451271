"""From decoded frames to a normalized clip, against the published way of working picture by picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from benchmarks.baselines.pixels import center_view, training_view
from benchmarks.interleaved import compared, measure
from benchmarks.media import scene
from benchmarks.options import Options
from benchmarks.rows import Row

from trishift.data.transforms import evaluation_views, train_augmentation
from trishift.model.spec import InputSpec


def rows(options: Options) -> Iterator[Row]:
    """A training view, and a center crop."""
    height, width = (48, 64) if options.quick else (240, 320)
    frames = np.stack(list(scene(height, width, 8, seed=0)))
    pixels = InputSpec(resize=36, crop=32) if options.quick else InputSpec()
    ours, theirs = (np.random.default_rng(0) for _ in range(2))
    times = measure(
        {
            "training": lambda: train_augmentation(frames, pixels, ours),
            "published training": lambda: training_view(frames, pixels, theirs),
            "center": lambda: evaluation_views(frames, pixels),
            "published center": lambda: center_view(frames, pixels),
        },
        5 * options.rounds,
    )
    size = f"8 frames of {width} x {height} to {pixels.crop} x {pixels.crop}"
    yield compared(f"training view, {size}", times, "training", "published training", 1.0)
    yield compared(f"center view, {size}", times, "center", "published center", 1.0)
