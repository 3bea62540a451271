"""Clips that a program gives itself: as paths, or as arrays of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import EvaluationSet
from trishift.data.lists import ClipList
from trishift.data.protocol import Protocol
from trishift.data.sampling import evaluation_clips
from trishift.data.sources import FrameSource
from trishift.errors import DataError


class ArrayFrames(FrameSource):
    """Frames in memory.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        name: the clip, for errors.

    Raises:
        DataError: the array has another shape or type.
    """

    def __init__(self, frames: np.ndarray, name: str) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
            shape = "x".join(map(str, frames.shape))
            raise DataError(f"{name}: {shape} {frames.dtype}; frames are (T, H, W, 3) uint8 RGB, at least one")
        self.path, self.num_frames, self.fps = Path(name), len(frames), None
        self._frames = frames

    def _read(self, wanted: list[int]) -> np.ndarray:
        return self._frames[wanted]


class GivenSet(EvaluationSet):
    """Clips as paths or arrays.

    Args:
        clips: paths, or frames (T, H, W, 3) uint8 RGB.
        names: a name for each.
        reader: reads the clips.
        protocol: determines the views.
    """

    def __init__(
        self, clips: Sequence[Path | np.ndarray], names: Sequence[str], reader: ClipReader, protocol: Protocol
    ) -> None:
        paths = [Path(name) if isinstance(clip, np.ndarray) else clip for clip, name in zip(clips, names, strict=True)]
        super().__init__(ClipList.of(paths), (), reader, protocol)
        self._arrays = {index: clip for index, clip in enumerate(clips) if isinstance(clip, np.ndarray)}

    def _frames(self, index: int, rng: np.random.Generator) -> np.ndarray:
        if index not in self._arrays:
            return super()._frames(index, rng)
        name = self.name(index)
        if self.input.modality == "flow":
            raise DataError(f"{name}: the model sees optical flow; give a video or a folder of flow pictures")
        source = ArrayFrames(self._arrays[index], name)
        return self._reader.sampled(source, evaluation_clips, self.protocol.sampling, rng)
