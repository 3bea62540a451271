"""Cameras and network streams."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from trishift.data.opencv import import_opencv
from trishift.data.orientation import Orientation, Orientations
from trishift.data.packets import demuxed
from trishift.errors import DataError, named
from trishift.streaming.clock import Clock
from trishift.streaming.source import Frame, Source, numbered

_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000", "rtsp_transport": "tcp"}
_FILE_PROTOCOLS = frozenset({"http", "https", "ftp", "sftp"})  # of recordings as well as live sources


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
                for frame in numbered(_decode(container), Clock()):
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
        super().__init__(named(url), url, timeout)
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


def _decode(container: InputContainer) -> Iterator[tuple[VideoFrame, Orientation]]:
    """Yield all pictures, each in its original size, with their orientations; undecodable packets are skipped."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise DataError(f"{container.name}: has no video")
    stream.thread_type = "SLICE"  # frame threading would delay frames
    orientations = Orientations()
    for packet in demuxed(container, stream):
        yield from ((picture, orientations.of(picture)) for picture in _pictures_of(packet))


def _pictures_of(packet: av.Packet) -> list[VideoFrame]:
    try:
        return packet.decode()
    except av.error.InvalidDataError:  # packets of a stream joined midway refer to earlier ones
        return []
