"""Frame sources for streaming: files, cameras and network streams."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from trishift.data.opencv import import_opencv
from trishift.data.orientation import Orientation, Orientations
from trishift.data.packets import demuxed
from trishift.data.parts import split_part
from trishift.data.sources import FrameRange, open_clip, open_flow
from trishift.data.video import probe, stream_frames
from trishift.errors import DataError, shortened, without_secrets
from trishift.io.regular import is_dir
from trishift.io.wording import counted
from trishift.streaming.clock import UNKNOWN_FPS, Clock

_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000", "rtsp_transport": "tcp"}
_FILE_PROTOCOLS = frozenset({"http", "https", "ftp", "sftp"})  # of recordings as well as live sources
_LONGEST = 4096  # characters of a path or an address
_FLOW_AT_ONCE = 32  # steps, of which each needs two neighboring frames


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

    def notes(self) -> list[str]:
        """Remarks about the frames read so far: what was assumed or is missing."""
        return []


def open_source(
    text: str,
    timeout: float = 10.0,
    live: bool | None = None,
    template: str | None = None,
    *,
    flow: bool = False,
    fps: float | None = None,
) -> Source:
    """The source that a user means: the number of a camera, a URL, or the path of a video or of a frame folder.

    Args:
        text: `0`, `rtsp://host/stream`, `http://...`, `udp://...`, `video.mp4`, `frames/`.
        timeout: seconds without an answer after which a camera or a network source counts as dropped.
        live: whether a URL is a live source or a recording; None: a live source if its protocol is, or if what it
            sends has neither a size nor a duration.
        template: file name of the pictures of a frame folder, see `open_clip`; None: detected.
        flow: yield optical flow instead of pictures.
        fps: frames per second of a frame folder; None: 30.

    Raises:
        DataError: there is a template, but the source is not a frame folder; or flow of a camera or an address.
        FrameworkError: cameras need OpenCV on this system.
    """
    if len(text) > _LONGEST or "\0" in unquote(text):
        raise DataError(f"{shortened(text)}: neither a path nor an address; give a camera's number, a URL or a file")
    if template is not None and not is_dir(split_part(text)[0]):
        raise DataError(f"{text}: not a frame folder; remove --template")
    if flow and (text.isdecimal() or "://" in text.removeprefix("file://")):
        raise DataError(f"{text}: the model needs optical flow, which is computed only for files and frame folders")
    if text.isdecimal() and template is None:
        return Camera(int(text), timeout) if sys.platform == "linux" else OpenCvCamera(int(text))
    if text.startswith("file://"):
        return Recording(_file_of(text), flow=flow)
    if "://" in text:
        return NetworkStream(text, timeout, live)
    return Recording(Path(text), template, flow=flow, fps=fps)


def _file_of(url: str) -> Path:
    """The path of a file URL, with or without percent encoding."""
    path = Path(url.removeprefix("file://"))
    return path if os.path.lexists(path) else Path(unquote(str(path)))


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
        self.path, self.name = path, str(path)
        self._template, self._flow, self._fps = template, flow, fps
        self.file, self._part = split_part(path)
        self._clock = Clock()

    @property
    def is_video(self) -> bool:
        """Whether the frames are the pictures of a video file, with its time stamps."""
        return not self._flow and not is_dir(self.file)

    @property
    def is_part(self) -> bool:
        """Whether only a part of the file or folder is read."""
        return self._part is not None

    def frames(self) -> Iterator[Frame]:
        """Yield all frames; raises DataError if the video cannot be read."""
        return self._video() if self.is_video else self._pictures()

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

    def _video(self) -> Iterator[Frame]:
        info, wanted = probe(self.file), self._wanted()
        self.fps, self.duration, self._clock = info.fps, info.duration, Clock()
        for frame in _numbered(stream_frames(self.file), self._clock):
            if wanted is None or frame.number in wanted:
                yield frame
            elif frame.number >= wanted.stop:
                return

    def _wanted(self) -> range | None:
        """Frame numbers of the part; None: all."""
        if self._part is None:
            return None
        with open_clip(self.path) as clip:
            assert isinstance(clip, FrameRange)
            return clip.numbers

    def _pictures(self) -> Iterator[Frame]:
        opener, at_once = (open_flow, _FLOW_AT_ONCE) if self._flow else (open_clip, 1)
        with opener(self.path, template=self._template) as clip:
            self.fps = clip.fps
            rate = clip.fps or self._fps or UNKNOWN_FPS
            first = clip.numbers.start if isinstance(clip, FrameRange) else 0
            for start in range(0, clip.num_frames, at_once):
                numbers = range(start, min(start + at_once, clip.num_frames))
                for number, picture in zip(numbers, clip.read(numbers), strict=True):
                    yield Frame(picture, first + number, (first + number) / rate, size=picture.nbytes)


class LibavSource(Source):
    """A source opened by FFmpeg's libraries."""

    def __init__(self, name: str, url: str, timeout: float, container_format: str | None = None) -> None:
        self.name = name
        self._url, self._format, self._timeout = url, container_format, timeout

    def frames(self) -> Iterator[Frame]:
        """Yield all frames; raises DataError if the source is absent, drops or times out."""
        is_empty = True
        with self._open() as container:
            try:
                for frame in _numbered(_decode(container), Clock()):
                    if is_empty:
                        self._read_rate(container)
                    is_empty = False
                    yield frame
            except (av.FFmpegError, OSError) as error:
                raise DataError(f"{self.name}: dropped ({self._reason(error)}); {self._remedy()}") from None
        if is_empty:
            raise DataError(f"{self.name}: ended without a frame; {self._remedy()}")

    def _open(self) -> InputContainer:
        try:
            return av.open(self._url, format=self._format, options=self._options(), timeout=self._timeout)
        except (av.FFmpegError, OSError) as error:
            raise DataError(f"{self.name}: cannot be opened ({self._reason(error)}); {self._remedy()}") from None

    def _read_rate(self, container: InputContainer) -> None:
        stream = container.streams.best("video")
        if isinstance(stream, VideoStream) and (rate := stream.average_rate or stream.guessed_rate):
            self.fps = float(rate)

    def _options(self) -> dict[str, str]:
        return {}

    def _reason(self, error: Exception) -> str:
        if isinstance(error, av.error.ExitError):
            return f"silent for {self._timeout:g} s"
        return getattr(error, "strerror", None) or str(error)

    def _remedy(self) -> str:
        return "check that it is running and that no other program uses it"


class NetworkStream(LibavSource):
    """RTSP, HTTP, UDP or any other protocol that FFmpeg supports."""

    def __init__(self, url: str, timeout: float, live: bool | None = None) -> None:
        super().__init__(without_secrets(url), url, timeout)
        is_file = url.partition("://")[0].lower() in _FILE_PROTOCOLS
        self._is_live = True if live is None and not is_file else live
        self._opened: InputContainer | None = None

    @property
    def live(self) -> bool:  # type: ignore[override]
        """Whether it is live; opens the source if only its content can tell."""
        if self._is_live is None:
            self._opened = super()._open()
            self._is_live = not self._opened.duration and self._opened.size <= 0
        return self._is_live

    def _open(self) -> InputContainer:
        opened, self._opened = self._opened, None
        return opened or super()._open()

    def _options(self) -> dict[str, str]:
        return _LOW_DELAY if self._is_live else {"rtsp_transport": "tcp"}

    def _remedy(self) -> str:
        recording = ", or --recording if it is one" if self._is_live else ""
        return f"check the address and the sender, or try --reconnect{recording}"


class Camera(LibavSource):
    """A Video4Linux camera; number 0 is /dev/video0."""

    live = True

    def __init__(self, number: int, timeout: float) -> None:
        super().__init__(f"camera {number}", f"/dev/video{number}", timeout, container_format="v4l2")

    def _remedy(self) -> str:
        present = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        return f"cameras on this machine: {present}"


class OpenCvCamera(Source):
    """A camera opened by OpenCV, for systems without Video4Linux; needs the extra `demo`."""

    live = True

    def __init__(self, device: int | str) -> None:
        self.name = f"camera {device}"
        self._device = device
        self._cv2 = import_opencv("cameras need")

    def frames(self) -> Iterator[Frame]:
        """Yield pictures until the camera stops; raises DataError if it cannot be opened."""
        capture = self._cv2.VideoCapture(self._device)
        try:
            if not capture.isOpened():
                raise DataError(
                    f"{self.name}: cannot be opened; check that it is connected and that no other program uses it"
                )
            start, number = time.monotonic(), 0
            while True:
                ok, bgr = capture.read()
                if not ok:
                    return
                yield Frame(np.ascontiguousarray(bgr[:, :, ::-1]), number, time.monotonic() - start)
                number += 1
        finally:
            capture.release()


def paced(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield frames at the speed they were recorded."""
    start = time.monotonic()
    for frame in frames:
        time.sleep(max(0.0, start + frame.time - time.monotonic()))
        yield frame


def _decode(container: InputContainer) -> Iterator[tuple[VideoFrame, Orientation]]:
    """Yield all pictures, each in its original size, with their orientations; undecodable packets are skipped."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise DataError(f"{container.name}: has no video")
    stream.thread_type = "SLICE"  # frame threading would delay frames
    orientations = Orientations()
    for packet in demuxed(container, stream):
        yield from ((picture, orientations.of(picture)) for picture in _pictures_of(packet))


def _numbered(pictures: Iterable[tuple[VideoFrame, Orientation]], clock: Clock) -> Iterator[Frame]:
    for number, (picture, turn) in enumerate(pictures):
        size = sum(plane.buffer_size for plane in picture.planes)
        yield Frame(partial(_upright, picture, turn), number, clock.read(picture.time), size=size)


def _pictures_of(packet: av.Packet) -> list[VideoFrame]:
    try:
        return packet.decode()
    except av.error.InvalidDataError:  # packets of a stream joined midway refer to earlier ones
        return []


def _upright(picture: VideoFrame, turn: Orientation) -> np.ndarray:
    """(H, W, 3) uint8 RGB with the display matrix applied."""
    return turn.apply(picture.to_ndarray(format="rgb24"))
