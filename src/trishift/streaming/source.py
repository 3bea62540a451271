"""The interface of frame sources for streaming."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from trishift.data.orientation import Orientation
from trishift.streaming.clock import Clock


@dataclass(frozen=True)
class Frame:
    """A picture with its time.

    Attributes:
        picture: (H, W, 3) uint8 RGB, upright, or a function that converts the decoded picture to it.
        number: position in the source, from 0.
        time: seconds since the source's first frame, by the source's clock.
        connection: number of times the source has been reopened.
        size: bytes of the picture as it is held.
    """

    picture: np.ndarray | Callable[[], np.ndarray]
    number: int
    time: float
    connection: int = 0
    size: int = 0

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright; converted on each access, so frames that nobody looks at cost nothing."""
        return self.picture() if callable(self.picture) else self.picture


class Source(ABC):
    """A source of frames that can be opened repeatedly.

    Attributes:
        name: name for messages and files, without passwords.
        live: whether frames keep arriving on their own, so that those not taken are lost.
        fps: mean frames per second; None if unknown, or before the source is opened.
        duration: seconds that the source announces; None if unknown, or before it is opened.
    """

    name: str
    live: bool
    fps: float | None = None
    duration: float | None = None

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Open the source and yield its frames until it ends.

        Raises:
            DataError: the source cannot be opened, or drops.
        """

    def frames_from(self, seconds: float) -> Iterator[Frame]:
        """Yield the first frame, and then at least all frames from some seconds after it. Raises like `frames`.

        Sources that cannot skip frames yield all.
        """
        return self.frames()

    def notes(self) -> list[str]:
        """Remarks about the frames read so far: what was assumed or is missing."""
        return []


def paced(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield frames at the speed they were recorded."""
    start = time.monotonic()
    for frame in frames:
        time.sleep(max(0.0, start + frame.time - time.monotonic()))
        yield frame


def numbered(pictures: Iterable[tuple[VideoFrame, Orientation]], clock: Clock, first: int = 0) -> Iterator[Frame]:
    """Give pictures their numbers, the first of which is `first`, and their times."""
    reformatter = VideoReformatter()  # a new one for each picture would cost more than small pictures do
    shape, size = (0, 0), 0
    for number, (picture, turn) in enumerate(pictures, first):
        if (picture.width, picture.height) != shape:
            shape, size = (picture.width, picture.height), sum(plane.buffer_size for plane in picture.planes)
        upright = partial(_upright, picture, turn, reformatter)
        yield Frame(upright, number, clock.read(picture.time), size=size)


def _upright(picture: VideoFrame, turn: Orientation, reformatter: VideoReformatter) -> np.ndarray:
    """(H, W, 3) uint8 RGB with the display matrix applied."""
    return turn.apply(reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray())
