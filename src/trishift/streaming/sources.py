"""Frame sources for streaming: files, cameras and network streams."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from trishift.data.opencv import import_opencv
from trishift.data.orientation import orientation
from trishift.data.packets import demuxed
from trishift.data.sources import open_clip
from trishift.data.video import stream_frames
from trishift.errors import DataError, shortened
from trishift.io.regular import is_dir

_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000", "rtsp_transport": "tcp"}
_FILE_PROTOCOLS = frozenset({"http", "https", "ftp", "sftp"})  # of recordings as well as live sources
_LONGEST = 4096  # characters of a path or an address
_UNKNOWN_FPS = 30.0  # assumed for pictures without timestamps


@dataclass(frozen=True)
class Frame:
    """A picture with its time.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        number: position in the source, from 0.
        time: seconds since the source's first frame, by the source's clock.
        connection: number of times the source has been reopened.
    """

    image: np.ndarray
    number: int
    time: float
    connection: int = 0


class Source(ABC):
    """A source of frames that can be opened repeatedly.

    Attributes:
        name: name for messages.
        live: whether frames keep arriving on their own, so that those not taken are lost.
    """

    name: str
    live: bool

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Open the source and yield its frames until it ends.

        Raises:
            DataError: the source cannot be opened, or drops.
        """


def open_source(text: str, timeout: float = 10.0, live: bool | None = None, template: str | None = None) -> Source:
    """The source that a user means: the number of a camera, a URL, or the path of a video or of a frame folder.

    Args:
        text: `0`, `rtsp://host/stream`, `http://...`, `udp://...`, `video.mp4`, `frames/`.
        timeout: seconds without an answer after which a camera or a network source counts as dropped.
        live: whether a URL is a live source or a recording; None: a live source if its protocol is, or if what it
            sends has neither a size nor a duration.
        template: file name of the pictures of a frame folder, see `open_clip`; None: detected.

    Raises:
        DataError: there is a template, but the source is not a frame folder.
        FrameworkError: cameras need OpenCV on this system.
    """
    if len(text) > _LONGEST or "\0" in unquote(text):
        raise DataError(f"{shortened(text)}: neither a path nor an address; give a camera's number, a URL or a file")
    if template is not None and not is_dir(text):
        raise DataError(f"{text}: not a frame folder; remove --template")
    if text.isdecimal() and template is None:
        return Camera(int(text), timeout) if sys.platform == "linux" else OpenCvCamera(int(text))
    if text.startswith("file://"):
        return Recording(_file_of(text))
    return NetworkStream(text, timeout, live) if "://" in text else Recording(Path(text), template)


def _file_of(url: str) -> Path:
    """The path of a file URL, with or without percent encoding."""
    path = Path(url.removeprefix("file://"))
    return path if os.path.lexists(path) else Path(unquote(str(path)))


class Recording(Source):
    """A video file or a frame folder, read at full speed."""

    live = False

    def __init__(self, path: Path, template: str | None = None) -> None:
        self.path, self.name = path, str(path)
        self._template = template

    def frames(self) -> Iterator[Frame]:
        """Yield all frames; raises DataError if the video cannot be read."""
        return self._pictures() if is_dir(self.path) else self._video()

    def _video(self) -> Iterator[Frame]:
        return _numbered(picture for picture, _ in stream_frames(self.path))

    def _pictures(self) -> Iterator[Frame]:
        with open_clip(self.path, template=self._template) as clip:
            for number in range(clip.num_frames):
                yield Frame(clip.read([number])[0], number, number / (clip.fps or _UNKNOWN_FPS))


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
                for frame in _numbered(_decode(container)):
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
        super().__init__(url, url, timeout)
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


def _decode(container: InputContainer) -> Iterator[VideoFrame]:
    """Yield all pictures, each in its original size; undecodable packets are skipped."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise DataError(f"{container.name}: has no video")
    stream.thread_type = "SLICE"  # frame threading would delay frames
    for packet in demuxed(container, stream):
        yield from _pictures_of(packet)


def _numbered(pictures: Iterable[VideoFrame]) -> Iterator[Frame]:
    first = None
    for number, picture in enumerate(pictures):
        seconds = number / _UNKNOWN_FPS if picture.time is None else picture.time
        first = seconds if first is None else first
        yield Frame(_upright(picture), number, seconds - first)


def _pictures_of(packet: av.Packet) -> list[VideoFrame]:
    try:
        return packet.decode()
    except av.error.InvalidDataError:  # packets of a stream joined midway refer to earlier ones
        return []


def _upright(picture: VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8 RGB with the display matrix applied."""
    return orientation(picture).apply(picture.to_ndarray(format="rgb24"))
