"""Sliding windows over the frames of a source, in one pass and with a bounded buffer.

Window k covers the times [k * hop, k * hop + length) after the first frame, and consists of the frames shown from then
on; frames are assigned by their time stamps, so a variable frame rate needs no special care. The last window ends
with the video. A video that is not longer than a window is exactly one window, with all of its frames.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from trishift.errors import DataError, RecipeError
from trishift.streaming.source import Frame

_SAME = 1e-6  # seconds; times closer than this are equal
_ONLY_FRAME = 1 / 30  # seconds that a video of a single frame lasts
_DECODED_BYTES = 256 * 2**20  # limit of frames kept as decoded; further ones are cropped at once
_MOST_BYTES = 2 * 2**30  # limit of the whole buffer
_FRAMES_PER_CHECK = 16


class HeldFrame:
    """A frame in the buffer: kept as decoded until its pixels are needed, and cropped from then on.

    Args:
        frame: the frame.
        crop: from a picture (H, W, F) to the pixels of its views.

    Attributes:
        time: seconds since the source's first frame.
        number: position in the source.
        size: bytes held.
    """

    def __init__(self, frame: Frame, crop: Callable[[np.ndarray], np.ndarray]) -> None:
        self.time, self.number, self.size = frame.time, frame.number, frame.size
        self._frame: Frame | None = frame
        self._crop = crop
        self._pixels: np.ndarray | None = None

    @property
    def pixels(self) -> np.ndarray:
        """The pixels of the views; the picture is converted on first use."""
        if self._pixels is None:
            assert self._frame is not None
            self._pixels = self._crop(self._frame.image)
            self._frame, self.size = None, self._pixels.nbytes
        return self._pixels

    @property
    def is_decoded(self) -> bool:
        """Whether the frame is kept as decoded."""
        return self._pixels is None


@dataclass(frozen=True)
class Window:
    """An interval of a video that is classified like a clip.

    Attributes:
        index: number of the window, from 0; windows without frames have a number, too.
        start, end: seconds since the source's first frame; the end is not included.
        frames: the frames shown in it, at least one.
        is_whole: whether it is the only window, with all frames of the video.
    """

    index: int
    start: float
    end: float
    frames: tuple[HeldFrame, ...]
    is_whole: bool = False


def check_lengths(length: float, hop: float, option: str = "--window") -> None:
    """Refuse windows that do not advance or leave gaps between them.

    Args:
        length: seconds per window.
        hop: seconds from one window to the next.
        option: the option that sets `length`, for messages.

    Raises:
        RecipeError: names the option.
    """
    if not (math.isfinite(length) and length > 0):
        raise RecipeError(f"{option} must be a positive number of seconds, not {length:g}")
    if not (math.isfinite(hop) and hop > 0):
        raise RecipeError(f"--hop must be a positive number of seconds, not {hop:g}")
    if hop > length + _SAME:
        raise RecipeError(
            f"--hop {hop:g} leaves gaps between windows of {length:g} s; use {length:g} or less, or raise {option}"
        )


def slide(frames: Iterable[HeldFrame], length: float, hop: float) -> Iterator[Window]:
    """Yield the windows of a video as soon as their frames are known. Windows without frames are omitted.

    Args:
        frames: all frames in order; at most those of one window are held.
        length: seconds per window.
        hop: seconds from one window to the next.

    Raises:
        RecipeError: a length is not positive, or `hop` exceeds `length`.
        DataError: the frames of a window do not fit into memory.
    """
    check_lengths(length, hop)
    buffer = _Buffer()
    first: float | None = None
    index, end, last = 0, 0.0, 0.0
    steps: deque[float] = deque(maxlen=2)
    for frame in frames:
        first = frame.time if first is None else first
        while frame.time >= first + index * hop + length - _SAME:
            start = first + index * hop
            buffer.drop_before(start)
            if buffer.frames:
                end = start + length
                yield Window(index, start, end, tuple(buffer.frames))
                index += 1
            else:  # nothing was shown for a while; continue with the first window that shows this frame
                index = max(index + 1, math.floor((frame.time - first - length + _SAME) / hop) + 1)
        if frame.time > last:
            steps.append(frame.time - last)
        last = frame.time
        buffer.add(frame, length)
    if first is None:
        return
    close = last + min(*steps, length, _ONLY_FRAME if not steps else length)  # a gap before the last frame is no step
    if not index:
        yield Window(0, first, close, tuple(buffer.frames), is_whole=True)
        return
    while first + index * hop + length <= close + _SAME:
        end = first + index * hop + length
        buffer.drop_before(end - length)
        if buffer.frames:
            yield Window(index, end - length, end, tuple(buffer.frames))
        index += 1
    if close > end + _SAME:
        buffer.drop_before(close - length)
        yield Window(index, close - length, close, tuple(buffer.frames))


class _Buffer:
    """The most recent frames, and how much memory they take."""

    def __init__(self) -> None:
        self.frames: deque[HeldFrame] = deque()
        self._added = 0
        self._crops_at_once = False

    def add(self, frame: HeldFrame, length: float) -> None:
        """Append a frame; it is cropped at once if many are kept as decoded.

        Raises:
            DataError: the frames do not fit into memory.
        """
        self.frames.append(frame)
        self._added += 1
        if self._added % _FRAMES_PER_CHECK == 0:
            self._check(length)
        if self._crops_at_once:
            frame.pixels  # noqa: B018  (converts the picture)

    def _check(self, length: float) -> None:
        self._crops_at_once = sum(held.size for held in self.frames if held.is_decoded) > _DECODED_BYTES
        if sum(held.size for held in self.frames) > _MOST_BYTES:
            raise DataError(
                f"the {len(self.frames)} frames of a window of {length:g} s need more than "
                f"{_MOST_BYTES / 2**30:g} GiB; use a shorter --window, or predict the whole video with trishift infer"
            )

    def drop_before(self, time: float) -> None:
        """Drop the frames before a time."""
        while self.frames and self.frames[0].time < time - _SAME:
            self.frames.popleft()
