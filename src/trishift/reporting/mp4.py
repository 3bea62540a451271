"""MP4 files of drawn pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from trishift.errors import DataError
from trishift.io.atomic import staged

CLOCK = 90_000  # ticks per second


class Mp4File:
    """An MP4 file that is being written.

    Attributes:
        output: PyAV's container, for other streams.
    """

    def __init__(self, output: Any) -> None:
        self.output = output
        self._stream: Any = output.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "23"})
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, CLOCK)
        self._last = -1

    def set_size(self, height: int, width: int) -> None:
        """Set the size of all pictures, even numbers, before the first one and before other streams are added."""
        self._stream.height, self._stream.width = height, width

    def add(self, image: np.ndarray, time: float) -> None:
        """Add a picture (H, W, 3) uint8 that is shown from `time` on, in seconds."""
        picture = av.VideoFrame.from_ndarray(image)
        self._last = max(self._last + 1, round(time * CLOCK))  # equal times would be refused
        picture.pts, picture.time_base = self._last, Fraction(1, CLOCK)
        self.output.mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Write the pictures that the encoder still holds; once, after the last one."""
        self.output.mux(self._stream.encode())


@contextmanager
def mp4_file(path: Path) -> Iterator[Mp4File]:
    """Write an MP4 file, atomically.

    Raises:
        DataError: it cannot be encoded.
        OutputError: it cannot be written.
    """
    with staged(path) as new:
        try:
            with av.open(str(new), "w", format="mp4") as output:
                yield Mp4File(output)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:  # from the operating system
                raise
            raise DataError(f"{path}: cannot be encoded ({error}); does PyAV have libx264?") from error
