"""Reads the sampled frames of a clip, arranged in a model's segments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trishift.data.sampling import SamplingSpec
from trishift.data.sources import FrameRange, FrameSource, open_clip, open_flow
from trishift.data.spec import WorkerType
from trishift.data.transforms import stack_segments
from trishift.model.pixels import Normalization, normalization, segment_length
from trishift.model.spec import InputSpec, ModelSpec

_Decoded = tuple[np.ndarray, float | None, range]  # all frames, their rate, and the places of the clip among them


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
        self._cache: dict[tuple[Path, float], _Decoded] = {}
        self.worker_type: WorkerType = "threads" if cache and worker_type == "auto" else worker_type

    def read(
        self,
        path: Path,
        choose: Callable[..., np.ndarray],
        sampling: SamplingSpec,
        rng: np.random.Generator,
        jitter: float = 0.0,
    ) -> np.ndarray:
        """Read the frames of a clip that `choose` selects.

        Args:
            path: the clip.
            choose: `training_clip` or `evaluation_clips`.
            sampling: passed to `choose`.
            rng: passed to `choose`.
            jitter: largest random offset of a part in its video, as a share of the part's length.

        Returns:
            (clips * T * length, H, W, F) uint8.

        Raises:
            DataError: the clip cannot be read.
        """
        if self._caches:
            frames, fps, clip = self._decoded(path, jitter)
            return frames[_offset(clip, len(frames), rng) + self._chosen(choose, sampling, rng, len(clip), fps)]
        with self.open(path) as source:
            return self.sampled(source, choose, sampling, rng, jitter)

    def sampled(
        self,
        source: FrameSource,
        choose: Callable[..., np.ndarray],
        sampling: SamplingSpec,
        rng: np.random.Generator,
        jitter: float = 0.0,
    ) -> np.ndarray:
        """Read the frames of an opened clip; otherwise like `read`."""
        clip = _widened(source, jitter)
        return source.read(
            _offset(clip, source.num_frames, rng) + self._chosen(choose, sampling, rng, len(clip), source.fps)
        )

    def _chosen(
        self,
        choose: Callable[..., np.ndarray],
        sampling: SamplingSpec,
        rng: np.random.Generator,
        num_frames: int,
        fps: float | None,
    ) -> np.ndarray:
        spec = {"num_segments": self.model.num_segments, "length": self._length}
        return choose(sampling, num_frames, rng=rng, fps=fps, **spec).reshape(-1)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_cache": {}}

    def segments(self, frames: np.ndarray) -> np.ndarray:
        """Arrange frames (..., S * length, F, H, W) as segments (..., S, C, H, W)."""
        return stack_segments(frames, self.input, self._length)

    @property
    def normalization(self) -> Normalization | None:
        """That of segments of pixels; None if they are made of differences of normalized frames."""
        return None if self.input.modality == "rgbdiff" else normalization(self.input, self.model.in_channels)

    def open(self, path: Path) -> FrameSource:
        """Open the frames of a clip, or its optical flow for flow models.

        Raises:
            DataError: the clip cannot be opened.
        """
        opener = open_flow if self.input.modality == "flow" else open_clip
        return opener(path, template=self._template)

    def _decoded(self, path: Path, jitter: float) -> _Decoded:
        if (path, jitter) not in self._cache:
            with self.open(path) as source:
                clip = _widened(source, jitter)
                self._cache[path, jitter] = source.read(range(source.num_frames)), source.fps, clip
        return self._cache[path, jitter]


def _widened(source: FrameSource, jitter: float) -> range:
    """Let a part reach into the video around it; returns the places of its own frames."""
    count = source.num_frames
    before = source.widen(round(jitter * count)) if jitter and isinstance(source, FrameRange) else 0
    return range(before, before + count)


def _offset(clip: range, num_frames: int, rng: np.random.Generator) -> int:
    """Where a clip begins among the frames around it: anywhere, so that it stays within them."""
    room = num_frames - len(clip)
    return int(rng.integers(room + 1)) if room else 0
