"""Reads the sampled frames of a clip, arranged in a model's segments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trishift.data.sampling import SamplingSpec
from trishift.data.sources import FrameSource, open_clip, open_flow
from trishift.data.spec import WorkerType
from trishift.data.transforms import stack_segments
from trishift.model.spec import InputSpec, ModelSpec, segment_length

_Decoded = tuple[np.ndarray, float | None]  # all frames, and frames per second


class ClipReader:
    """Reads clips for a model; thread-safe.

    Args:
        input_spec: input format of the model.
        model: determines the number of segments and their channels.
        template: file name of a frame in a frame folder; None: detected.
        cache: keep decoded frames in memory.
        worker_type: see `DataSpec`.

    Attributes:
        worker_type: the same; threads instead of `auto` if frames are kept in memory, which only threads share.
    """

    def __init__(
        self,
        input_spec: InputSpec,
        model: ModelSpec,
        *,
        template: str | None = None,
        cache: bool = False,
        worker_type: WorkerType = "auto",
    ) -> None:
        self.input, self.model = input_spec, model
        self._length = segment_length(input_spec.modality, model.in_channels)
        self._template, self._caches = template, cache
        self._cache: dict[Path, _Decoded] = {}
        self.worker_type: WorkerType = "threads" if cache and worker_type == "auto" else worker_type

    def read(
        self, path: Path, choose: Callable[..., np.ndarray], sampling: SamplingSpec, rng: np.random.Generator
    ) -> np.ndarray:
        """Read the frames of a clip that `choose` selects.

        Args:
            path: the clip.
            choose: `training_clip` or `evaluation_clips`.
            sampling: passed to `choose`.
            rng: passed to `choose`.

        Returns:
            (clips * T * length, H, W, F) uint8.

        Raises:
            DataError: the clip cannot be read.
        """
        choose = partial(choose, sampling, num_segments=self.model.num_segments, length=self._length, rng=rng)
        if self._caches:
            frames, fps = self._decoded(path)
            return frames[choose(len(frames), fps=fps).reshape(-1)]
        with self.open(path) as source:
            return source.read(choose(source.num_frames, fps=source.fps).reshape(-1))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_cache": {}}

    def segments(self, frames: np.ndarray) -> np.ndarray:
        """Arrange normalized frames (..., S * length, F, H, W) as segments (..., S, C, H, W)."""
        return stack_segments(frames, self.input, self._length)

    def open(self, path: Path) -> FrameSource:
        """Open the frames of a clip, or its optical flow for flow models.

        Raises:
            DataError: the clip cannot be opened.
        """
        opener = open_flow if self.input.modality == "flow" else open_clip
        return opener(path, template=self._template)

    def _decoded(self, path: Path) -> _Decoded:
        if path not in self._cache:
            with self.open(path) as source:
                self._cache[path] = source.read(range(source.num_frames)), source.fps
        return self._cache[path]
