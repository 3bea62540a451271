"""Clips from which a quantizer learns the range of every activation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trishift.checkpoints.canonical import Checkpoint
from trishift.data.dataset import unlabeled_set
from trishift.data.protocol import Protocol
from trishift.errors import CheckpointError, DataError


class CalibrationClips(Sequence[np.ndarray]):
    """At most `limit` videos, evenly spread over `paths`, as center crops (T, C, H, W) float32, read on access.

    Raises:
        CheckpointError: the checkpoint does not contain a model.
        DataError: there are no videos; on access: a video cannot be read.
    """

    def __init__(self, paths: Sequence[Path], checkpoint: Checkpoint, limit: int) -> None:
        if checkpoint.spec is None or checkpoint.input is None:
            raise CheckpointError("the weights do not contain a model; there is nothing to calibrate")
        if not paths or limit < 1:
            raise DataError("calibration: give a list of at least one video")
        chosen = np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(int)
        videos = [paths[index] for index in chosen]
        self._dataset = unlabeled_set(videos, checkpoint.input, checkpoint.spec, Protocol())

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        sample = self._dataset.load(index)
        if not sample.valid:
            raise DataError(f"calibration: {self._dataset.misses()[0][1]}")
        return sample.clips[0]
