"""Open the source that a user means."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import unquote

from trishift.data.parts import split_part
from trishift.errors import DataError, shortened
from trishift.io.regular import is_dir, is_in_store
from trishift.io.storage import is_stored
from trishift.streaming.live import Camera, NetworkStream, OpenCvCamera
from trishift.streaming.recording import Recording
from trishift.streaming.source import Source

_LONGEST = 4096  # characters of a path or an address


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
        text: `0`, `rtsp://host/stream`, `http://...`, `udp://...`, `s3://bucket/video.mp4`, `video.mp4`, `frames/`.
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
    if template is not None and not (is_stored(file := split_part(text)[0]) or is_dir(file)):
        raise DataError(f"{text}: not a frame folder; remove --template")
    is_stream = "://" in text and not (text.startswith("file://") or is_in_store(text))
    if flow and (text.isdecimal() or is_stream):
        raise DataError(f"{text}: the model needs optical flow, which is computed only for files and frame folders")
    if text.isdecimal() and template is None:
        return Camera(int(text), timeout) if sys.platform == "linux" else OpenCvCamera(int(text))
    if text.startswith("file://"):
        return Recording(_file_of(text), flow=flow)
    if is_stream:
        return NetworkStream(text, timeout, live)
    return Recording(Path(text), template, flow=flow, fps=fps)


def _file_of(url: str) -> Path:
    """The path of a file URL, with or without percent encoding."""
    path = Path(url.removeprefix("file://"))
    return path if os.path.lexists(path) else Path(unquote(str(path)))
