"""Encode frames as an H.264 file."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from trishift.errors import DataError
from trishift.io.atomic import staged

FRAME_RATE = 12  # Jester's
_QUANTIZER = 26


def write_clip(path: Path, frames: np.ndarray) -> None:
    """Encode (F, H, W, 3) uint8 RGB as H.264 in MP4.

    Every frame is a key frame with the same constant quantizer, so a decoded frame depends only on its own picture:
    a reversed clip decodes to exactly the same frames, and compression leaves no trace of time.

    Raises:
        OutputError: the file cannot be written.
        DataError: FFmpeg has no H.264 encoder.
    """
    with staged(path, sync=False) as new:
        _encode(new, frames)


def _encode(path: Path, frames: np.ndarray) -> None:
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=FRAME_RATE)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.options = {
                "preset": "veryfast",
                "qp": str(_QUANTIZER),
                "x264-params": "keyint=1:scenecut=0:aq-mode=0",
            }
            stream.codec_context.thread_count = 1
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode())
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, OSError):  # from the operating system
            raise
        raise DataError(f"{path.name}: cannot be encoded ({error}); does PyAV have libx264?") from error
