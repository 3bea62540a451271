"""Frame sampling.

All functions return frame numbers from 0 as (clips, T * length) int64: T segments of `length` consecutive frames each
(`pixels.segment_length`; past the end, the last frame is repeated). n is the number of frames of the clip, T the number
of segments, and `rng` the random generator of training. Any n >= 1 works.

Sources: TSN and TSM (Wang et al. 2016, arXiv:1608.00859; Lin et al. 2019, arXiv:1811.08383), the multi-moments models
(M4), Paddle's TSM. Defects of these are corrected here; the `legacy_...` options of `SamplingSpec` restore them to
reproduce published figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.io.wording import counted

_M4_FPS = 30
Mode = Literal["uniform", "dense", "twice", "m4", "m4_dense", "paddle"]


def uniform_train(n: int, T: int, rng: np.random.Generator, length: int = 1) -> np.ndarray:
    """TSN's training sampling: an independent random start within each segment of d = (n - length + 1) // T frames.

    Clips with fewer than T possible starts are stretched: start k is drawn from the k-th of T equal parts, so frames
    stay in order (the original repeats the first frame, see `legacy_short_clips`).
    """
    places = max(n - length + 1, 1)
    d = places // T
    if d > 0:
        starts = np.arange(T) * d + rng.integers(d, size=T)
    else:
        starts = np.floor((np.arange(T) + rng.random(T)) * places / T)
    return _windows(starts[None], n, length)


def uniform_eval(n: int, T: int, length: int = 1) -> np.ndarray:
    """TSN's evaluation frames, centers of T equal segments: int(tick / 2 + tick * k), tick = (n - length + 1) / T."""
    tick = max(n - length + 1, 1) / T
    return _windows(np.floor(tick / 2 + tick * np.arange(T))[None], n, length)


def twice_eval(n: int, T: int, length: int = 1) -> np.ndarray:
    """Two clips: the centers and the starts of the segments, int(tick * k)."""
    tick = max(n - length + 1, 1) / T
    beginnings = np.floor(tick * np.arange(T))[None]
    return np.concatenate([uniform_eval(n, T, length), _windows(beginnings, n, length)])


def dense_train(n: int, T: int, rng: np.random.Generator, window: int = 64, length: int = 1) -> np.ndarray:
    """I3D-style sampling: every (window // T)-th frame from a random start, wrapping around at the end.

    All starts can be drawn (the original excludes the last, see `legacy_dense_start`).
    """
    return _dense(rng.integers(_dense_places(n, window), size=1), n, T, window, length)


def dense_eval(n: int, T: int, clips: int = 10, window: int = 64, length: int = 1) -> np.ndarray:
    """`clips` dense clips with evenly spread starts, linspace(0, n - window, clips)."""
    return _dense(np.linspace(0, _dense_places(n, window) - 1, clips, dtype=np.int64), n, T, window, length)


def m4_train(n: int, T: int, rng: np.random.Generator, fps: float | None = None) -> np.ndarray:
    """M4's training sampling on the clip resampled to 30 fps: one random offset shared by all segments."""
    resampled = _at_30_fps(n, fps)
    d = len(resampled) // T
    if d == 0:
        return resampled[uniform_train(len(resampled), T, rng)]
    return resampled[np.arange(T)[None] * d + rng.integers(d)]


def m4_eval(n: int, T: int, fps: float | None = None) -> np.ndarray:
    """M4's evaluation frames: the centers of the segments of the clip resampled to 30 fps."""
    resampled = _at_30_fps(n, fps)
    return resampled[uniform_eval(len(resampled), T)]


def m4_dense_eval(n: int, T: int, fps: float | None = None) -> np.ndarray:
    """M4's dense frames: T frames evenly spread from the first to the last frame of the clip at 30 fps."""
    resampled = _at_30_fps(n, fps)
    return resampled[np.linspace(0, len(resampled) - 1, T, dtype=np.int64)[None]]


def paddle_train(n: int, T: int, rng: np.random.Generator, length: int = 1) -> np.ndarray:
    """The Paddle original's training sampling: a window anywhere inside each segment of n // T frames.

    Unlike TSN's, it wraps: windows past the end and clips shorter than T continue with the first frame.
    """
    d = n // T
    offsets = rng.integers(d - length + 1, size=T) if d >= length else 0
    return _paddle_windows(n, T, length, offsets)


def paddle_eval(n: int, T: int, length: int = 1, *, legacy_center: bool = False) -> np.ndarray:
    """The Paddle original's evaluation frames: a window centered in each segment of n // T frames.

    With `legacy_center`, the first frame of the window is centered instead, as in the original's mp4 reader.
    PaddleVideo's default ("select_left") is `uniform` with `legacy_short_clips`.
    """
    d = n // T
    width = 1 if legacy_center else length
    return _paddle_windows(n, T, length, (d - width) // 2 if d >= length else 0)


def legacy_uniform(n: int, T: int, rng: np.random.Generator | None, length: int = 1) -> np.ndarray:
    """TSN's original rule for short clips, in training (with `rng`) and validation (None): first frames repeat.

    Training: all segments start at 0 if there are fewer than T possible starts (sorted random starts if n > T, which
    requires length > 1). Validation: all start at 0 unless n > T + length - 1, so n = T yields T copies of frame 0.
    """
    if rng is None:
        return uniform_eval(n, T, length) if n > T + length - 1 else _windows(np.zeros((1, T)), n, length)
    places = n - length + 1
    if places >= T:
        return uniform_train(n, T, rng, length)
    starts = np.sort(rng.integers(places, size=T)) if n > T and places > 0 else np.zeros(T)
    return _windows(starts[None], n, length)


def legacy_dense_train(n: int, T: int, rng: np.random.Generator, window: int = 64, length: int = 1) -> np.ndarray:
    """`dense_train` as published: the last possible start is never drawn."""
    return _dense(rng.integers(max(_dense_places(n, window) - 1, 1), size=1), n, T, window, length)


def _windows(starts: np.ndarray, n: int, length: int) -> np.ndarray:
    """Expand (clips, T) starts to (clips, T * length) consecutive frames; the last frame is repeated."""
    frames = starts.astype(np.int64)[..., None] + np.arange(length)
    return np.minimum(frames, n - 1).reshape(len(starts), -1)


def _dense_places(n: int, window: int) -> int:
    return max(1, 1 + n - window)


def _dense(starts: np.ndarray, n: int, T: int, window: int, length: int) -> np.ndarray:
    stride = max(1, window // T)
    return _windows((np.arange(T) * stride + starts[:, None]) % n, n, length)


def _at_30_fps(n: int, fps: float | None) -> np.ndarray:
    """Frames at 30 fps, floor(i * fps / 30); all frames if fps is unknown."""
    step = (fps or _M4_FPS) / _M4_FPS
    return np.minimum(np.floor(np.arange(max(1, int(n / step))) * step).astype(np.int64), n - 1)


def _paddle_windows(n: int, T: int, length: int, offsets: np.ndarray | int) -> np.ndarray:
    d = n // T
    starts = np.arange(T) * d + offsets if d > 0 else np.arange(T)
    return ((starts[:, None] + np.arange(length)) % n).astype(np.int64).reshape(1, -1)


@dataclass(frozen=True)
class SamplingSpec:
    """Frame sampling, in a recipe.

    Attributes:
        mode: `uniform` (TSN, TSM, TRN, MSN), `dense` (I3D-style), `twice` (two uniform clips in evaluation), `m4`,
            `m4_dense`, `paddle` (the Paddle original).
        clips: clips per video in evaluation; 0: the published number of the mode (dense 10, twice 2, else 1).
        window: number of frames spanned by a dense clip.
        legacy_short_clips: `uniform`: repeat the first frame of clips shorter than T (TSN, TRN, PaddleVideo).
        legacy_dense_start: `dense`: never draw the last start in training (TSM).
        legacy_random_evaluation: sample randomly in evaluation (TSM's dense validation, MSN's clips on Kinetics).
        legacy_paddle_center: `paddle` with windows: center the first frame of each window (its mp4 reader).
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    mode: Mode = "uniform"
    clips: int = 0
    window: int = 64
    legacy_short_clips: bool = False
    legacy_dense_start: bool = False
    legacy_random_evaluation: bool = False
    legacy_paddle_center: bool = False

    def __post_init__(self) -> None:
        if self.window < 1 or self.clips < 0:
            raise RecipeError("sampling: window must be positive, clips not negative")
        if self.clips not in (0, self.num_clips):
            raise RecipeError(
                f"sampling.clips: mode {self.mode} has {counted(self.num_clips, 'clip')}; remove sampling.clips"
            )
        for option, mode in _LEGACY_MODES.items():
            if getattr(self, option) and self.mode != mode:
                raise RecipeError(f"sampling.{option} requires mode {mode}, not {self.mode}")

    @property
    def num_clips(self) -> int:
        """Clips per video in evaluation."""
        if self.mode == "dense" or self.legacy_random_evaluation:
            return self.clips or (10 if self.mode == "dense" else 1)
        return 2 if self.mode == "twice" else 1


_LEGACY_MODES = {"legacy_short_clips": "uniform", "legacy_dense_start": "dense", "legacy_paddle_center": "paddle"}


def check_length(spec: SamplingSpec, length: int) -> None:
    """Raise a RecipeError for segments of several frames if the mode samples single frames."""
    if length > 1 and spec.mode.startswith("m4"):
        raise RecipeError(f"sampling.mode: {spec.mode} samples single frames, but the model's segments have {length}")


@dataclass(frozen=True)
class _Clip:
    """Arguments of a mode: n frames at `fps` per second, to be sampled in T segments of `length` frames."""

    n: int
    T: int
    length: int
    fps: float | None


_Draw = Callable[[SamplingSpec, _Clip, np.random.Generator], np.ndarray]
_Choice = Callable[[SamplingSpec, _Clip], np.ndarray]

_TRAINING: dict[Mode, _Draw] = {
    "uniform": lambda s, c, rng: (legacy_uniform if s.legacy_short_clips else uniform_train)(c.n, c.T, rng, c.length),
    "dense": lambda s, c, rng: (legacy_dense_train if s.legacy_dense_start else dense_train)(
        c.n, c.T, rng, s.window, c.length
    ),
    "twice": lambda s, c, rng: uniform_train(c.n, c.T, rng, c.length),
    "m4": lambda s, c, rng: m4_train(c.n, c.T, rng, c.fps),
    "m4_dense": lambda s, c, rng: m4_train(c.n, c.T, rng, c.fps),
    "paddle": lambda s, c, rng: paddle_train(c.n, c.T, rng, c.length),
}
_EVALUATION: dict[Mode, _Choice] = {
    "uniform": lambda s, c: (
        legacy_uniform(c.n, c.T, None, c.length) if s.legacy_short_clips else uniform_eval(c.n, c.T, c.length)
    ),
    "dense": lambda s, c: dense_eval(c.n, c.T, s.num_clips, s.window, c.length),
    "twice": lambda s, c: twice_eval(c.n, c.T, c.length),
    "m4": lambda s, c: m4_eval(c.n, c.T, c.fps),
    "m4_dense": lambda s, c: m4_dense_eval(c.n, c.T, c.fps),
    "paddle": lambda s, c: paddle_eval(c.n, c.T, c.length, legacy_center=s.legacy_paddle_center),
}


def training_clip(
    spec: SamplingSpec,
    num_frames: int,
    num_segments: int,
    length: int = 1,
    *,
    rng: np.random.Generator,
    fps: float | None = None,
) -> np.ndarray:
    """Sample a training clip.

    Args:
        spec: mode and options.
        num_frames: number of frames of the video, at least 1.
        num_segments: T.
        length: consecutive frames per segment.
        rng: random generator.
        fps: frames per second, for `m4`; None counts as 30.

    Returns:
        (1, T * length) int64 frame numbers from 0.

    Raises:
        RecipeError: the mode samples single frames, and `length` is greater than 1.

    Example:
        >>> from trishift.data.sampling import SamplingSpec, training_clip
        >>> training_clip(SamplingSpec("uniform"), 40, 8, rng=np.random.default_rng(0)).shape
        (1, 8)
    """
    check_length(spec, length)
    return _TRAINING[spec.mode](spec, _Clip(num_frames, num_segments, length, fps), rng)


def evaluation_clips(
    spec: SamplingSpec,
    num_frames: int,
    num_segments: int,
    length: int = 1,
    *,
    rng: np.random.Generator | None = None,
    fps: float | None = None,
) -> np.ndarray:
    """Sample the evaluation clips of a video: (`spec.num_clips`, T * length) int64 frame numbers.

    Arguments and errors are those of `training_clip`; `rng` is needed only for `legacy_random_evaluation`.

    Example:
        >>> from trishift.data.sampling import SamplingSpec, evaluation_clips
        >>> evaluation_clips(SamplingSpec("uniform"), 40, 8)
        array([[ 2,  7, 12, 17, 22, 27, 32, 37]])
    """
    check_length(spec, length)
    if not spec.legacy_random_evaluation:
        return _EVALUATION[spec.mode](spec, _Clip(num_frames, num_segments, length, fps))
    if rng is None:
        raise ValueError("legacy_random_evaluation needs rng")
    draws = (training_clip(spec, num_frames, num_segments, length, rng=rng, fps=fps) for _ in range(spec.num_clips))
    return np.concatenate(list(draws))
