"""Clips from which a quantizer learns the range of every activation, and others that judge the result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trishift.checkpoints.canonical import Checkpoint
from trishift.data.opening import unlabeled_set
from trishift.data.protocol import Protocol
from trishift.errors import CheckpointError, DataError
from trishift.io.threads import map_in_threads
from trishift.io.wording import counted

_JUDGES = 64  # clips that judge a quantized model, at most


def split_clips(paths: Sequence[Path], checkpoint: Checkpoint, limit: int) -> tuple[CalibrationClips, CalibrationClips]:
    """Clips to calibrate on and other clips to judge the result on, both spread over a list.

    Args:
        paths: videos; at least a quarter of them judge, up to 64.
        checkpoint: the model, which determines the pixels.
        limit: clips to calibrate on, at most.

    Raises:
        CheckpointError: the checkpoint does not contain a model.
        DataError: fewer than two different videos.
    """
    videos = list(dict.fromkeys(paths))
    if len(videos) < 2 or limit < 1:
        raise DataError("calibration: give a list of at least two videos: one to calibrate on, one to judge the result")
    judges = min(_JUDGES, -(-len(videos) // 4))
    chosen = set(_spread(len(videos), min(limit, len(videos) - judges)))
    rest = [video for place, video in enumerate(videos) if place not in chosen]
    return (
        CalibrationClips([videos[place] for place in sorted(chosen)], checkpoint, limit),
        CalibrationClips(rest, checkpoint, _JUDGES),
    )


def _spread(count: int, wanted: int) -> list[int]:
    """`wanted` different indices below `count`, evenly spread."""
    return [int(place) for place in np.linspace(0, count - 1, wanted).round()]


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
        videos = [paths[index] for index in _spread(len(paths), min(limit, len(paths)))]
        self._dataset = unlabeled_set(videos, checkpoint.input, checkpoint.spec, Protocol())

    def check(self) -> None:
        """Read every video once, because quantization would stop halfway at one that cannot be read.

        Raises:
            DataError: videos cannot be read; names the first.
        """
        map_in_threads(self._dataset.load, range(len(self)), description="clips")
        misses = self._dataset.misses()
        if misses:
            raise DataError(
                f"calibration: {len(misses)} of {counted(len(self), 'video')} cannot be read; first: {misses[0][1]}"
            )

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        sample = self._dataset.load(index)
        if not sample.valid:
            raise DataError(f"calibration: {self._dataset.misses()[0][1]}")
        return sample.clips[0]
