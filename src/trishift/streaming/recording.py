"""Recordings: video files, frame folders and parts of either, from their first frame or from a later one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from trishift.data.orientation import Orientations
from trishift.data.parts import split_part
from trishift.data.sources import FrameRange, is_frame_folder, open_clip, open_flow
from trishift.data.video import VideoFile, open_seekable, probe, stream_frames
from trishift.errors import named
from trishift.io.wording import counted
from trishift.streaming.clock import UNKNOWN_FPS, Clock
from trishift.streaming.source import Frame, Source, numbered

_FRAMES_BEFORE = 3  # decoded before those that are wanted
_FLOW_AT_ONCE = 32  # steps, of which each needs two neighboring frames


class Recording(Source):
    """A video file, a frame folder or a part of either, read at full speed; or the optical flow of one.

    Args:
        path: the file or folder, perhaps with a part: `long.mp4#t=10,20`. Times are those of the whole video.
        template: file name of the pictures of a folder; None: detected.
        flow: read optical flow, (H, W, 2) uint8 per frame, see `open_flow`.
        fps: frames per second of pictures, which have no time stamps; None: 30.

    Attributes:
        file: the file or folder, without a part.
    """

    live = False

    def __init__(
        self, path: Path, template: str | None = None, *, flow: bool = False, fps: float | None = None
    ) -> None:
        self.path, self.name = path, named(path)
        self._template, self._flow, self._fps = template, flow, fps
        self.file, self._part = split_part(path)
        self._clock = Clock()

    @property
    def is_video(self) -> bool:
        """Whether the frames are the pictures of a video file, with its time stamps."""
        return not self._flow and not self._is_folder

    @cached_property
    def _is_folder(self) -> bool:
        return is_frame_folder(self.file)

    @property
    def is_part(self) -> bool:
        """Whether only a part of the file or folder is read."""
        return self._part is not None

    def frames(self) -> Iterator[Frame]:
        """Yield all frames; raises DataError if the video cannot be read."""
        return self.frames_from(0.0)

    def frames_from(self, seconds: float) -> Iterator[Frame]:
        """Yield the first frame and all from some seconds after it, with the times they have in `frames`.

        Frames in between are not decoded, unless the file can only be decoded from its beginning.
        """
        return self._video(seconds) if self.is_video else self._pictures(seconds)

    def notes(self) -> list[str]:
        """Remarks about time stamps and a missing end; complete after the last frame."""
        found = []
        if self._clock.jumps:
            jumps = counted(self._clock.jumps, "time")
            found.append(f"{self.name}: its time stamps jump back {jumps}; later times continue from the frames before")
        ended = self._clock.end
        if self._part is None and self.duration is not None and self.duration - ended > max(1.0, 0.02 * self.duration):
            found.append(f"{self.name}: ends after {ended:.1f} of {self.duration:.1f} s; it is damaged or truncated")
        if not self.is_video and self.fps is None and self._fps is None:
            found.append(f"{self.name}: has no time stamps; {UNKNOWN_FPS:g} frames per second are assumed")
        return found

    def _video(self, seconds: float) -> Iterator[Frame]:
        info, wanted = probe(self.file), self._wanted()
        self.fps, self.duration, self._clock = info.fps, info.duration, Clock(info.start)
        file = open_seekable(self.file) if wanted.start or seconds else None
        if file is None:
            frames = numbered(stream_frames(self.file), self._clock)
        else:
            frames = self._later(file, wanted.start, seconds)
        for frame in frames:
            if frame.number >= wanted.stop:
                return
            if frame.number >= wanted.start:
                yield frame

    def _later(self, file: VideoFile, first: int, seconds: float) -> Iterator[Frame]:
        """The first wanted frame, and those from some seconds after it; in between, the file seeks."""
        with file:
            assert file.times is not None
            later = _skipped(first, int(np.searchsorted(file.times, file.times[first] + seconds)))
            runs = [(first, file.num_frames)] if later == first + 1 else [(first, first + 1), (later, file.num_frames)]
            for begin, end in runs:
                orientations = Orientations()
                pictures = ((picture, orientations.of(picture)) for picture in file.stream(begin))
                yield from islice(numbered(pictures, self._clock, begin), max(0, end - begin))

    def _wanted(self) -> range:
        """Frame numbers of the part, or of everything."""
        if self._part is None:
            return range(sys.maxsize)
        with open_clip(self.path) as clip:
            assert isinstance(clip, FrameRange)
            return clip.numbers

    def _pictures(self, seconds: float) -> Iterator[Frame]:
        opener, at_once = (open_flow, _FLOW_AT_ONCE) if self._flow else (open_clip, 1)
        with opener(self.path, template=self._template) as clip:
            self.fps = clip.fps
            rate = clip.fps or self._fps or UNKNOWN_FPS
            first = clip.numbers.start if isinstance(clip, FrameRange) else 0
            later = range(_skipped(0, int(seconds * rate)), clip.num_frames)
            for numbers in (range(1), *(later[start : start + at_once] for start in range(0, len(later), at_once))):
                for number, picture in zip(numbers, clip.read(numbers), strict=True):
                    yield Frame(picture, first + number, (first + number) / rate, size=picture.nbytes)


def _skipped(first: int, wanted: int) -> int:
    """The frame to continue with after the first one; some earlier than wanted show the usual step between frames."""
    return max(first + 1, wanted - _FRAMES_BEFORE)
