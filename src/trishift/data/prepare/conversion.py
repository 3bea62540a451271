"""Convert a video: to numbered pictures, or to H.264 with dense key frames. What is there is complete.

Pictures are decoded fastest; a re-encoded video takes a tenth of their space, and with a key frame every 16 frames any
of its frames is reached after decoding 8 on average. Frames keep their number and order, videos also their times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.video.frame import PictureType, VideoFrame
from PIL import Image

from trishift.data.frames import FrameFolder
from trishift.data.orientation import Orientation
from trishift.data.prepare.tree import converted_folder
from trishift.data.video import probe, stream_frames
from trishift.errors import DataError
from trishift.io.atomic import make_folder, staged

_JPEG_QUALITY = 95
_KEY_FRAME_EVERY = 16
_RATE_FACTOR = 20  # x264's crf: visually the same at half the size of the usual 16
_CLOCK = 90_000  # ticks per second


@dataclass(frozen=True)
class Conversion:
    """What to make of every video.

    Attributes:
        kind: `frames` or `videos`.
        short_side: pixels; smaller videos keep their size.
        template: file names of the frames, counted from 1.
    """

    kind: Literal["frames", "videos"]
    short_side: int
    template: str

    def target(self, output: Path, name: str) -> Path:
        """Where a clip's converted form is: a folder of frames, or a file."""
        folder = output / converted_folder(self.kind, self.short_side)
        return folder / name if self.kind == "frames" else folder / f"{name}.mp4"

    def finished_frames(self, target: Path) -> int | None:
        """The number of frames of a finished conversion; None: there is none. Raises DataError if it is broken."""
        if self.kind == "frames":
            return FrameFolder(target, self.template).num_frames if target.is_dir() else None
        return probe(target).announced_frames if target.is_file() else None

    def convert(self, source: Path, target: Path) -> int:
        """Convert a video; the target appears when it is complete. Returns the number of frames.

        Raises:
            DataError: nothing of the source can be decoded.
            OutputError: the target cannot be written.
        """
        write = _write_frames if self.kind == "frames" else _write_video
        make_folder(target.parent)
        with staged(target, sync=False) as new:
            try:
                return write(source, new, self)
            except av.FFmpegError as error:
                if isinstance(error, OSError):  # the system refuses
                    raise
                raise DataError(f"{source}: cannot be converted to {target} ({error})") from None


def _write_frames(source: Path, folder: Path, conversion: Conversion) -> int:
    folder.mkdir()
    count = 0
    for count, picture in enumerate(pictures(source, conversion.short_side), 1):
        Image.fromarray(picture).save(folder / conversion.template.format(count), quality=_JPEG_QUALITY)
    return count


def pictures(source: Path, short_side: int) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8, upright; all of the size of the first one."""
    size = None
    for frame, orientation in stream_frames(source):
        size = size or shrunk_size(frame.width, frame.height, short_side)
        width, height = size
        scaled = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC")
        yield np.ascontiguousarray(orientation.apply(scaled.to_ndarray()))


def shrunk_size(width: int, height: int, short_side: int, multiple: int = 1) -> tuple[int, int]:
    """(width, height) of a stored clip: of this short side or its own, if that is smaller, rounded to multiples.

    Stored pixels are rounded to the nearest size; `transforms.resized_size`, which makes the pixels a network sees,
    rounds down as the originals do.
    """
    scale = min(1.0, short_side / min(width, height))
    return tuple(max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))  # type: ignore


def _write_video(source: Path, path: Path, conversion: Conversion) -> int:
    fps = Fraction(probe(source).fps or 25).limit_denominator(1001)
    frames = _timed_frames(source, conversion.short_side, fps)
    first = next(frames)
    count = 1
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        stream.codec_context.thread_count = 1  # several clips are converted side by side
        stream.options = {
            "preset": "veryfast",
            "crf": str(_RATE_FACTOR),
            "x264-params": f"keyint={_KEY_FRAME_EVERY}:log-level=error",
        }
        container.mux(stream.encode(first))
        for frame in frames:
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode(None))
    return count


def _timed_frames(source: Path, short_side: int, fps: Fraction) -> Iterator[VideoFrame]:
    """Scaled, upright frames from time 0 on, in strictly ascending times whatever the source says."""
    size, start, last = None, None, -1
    for frame, orientation in stream_frames(source):
        size = size or shrunk_size(frame.width, frame.height, short_side, multiple=2)
        scaled = frame.reformat(width=size[0], height=size[1], format="yuv420p", interpolation="BICUBIC")
        if orientation != Orientation():
            pixels: Any = np.ascontiguousarray(orientation.apply(scaled.to_ndarray(format="rgb24")))
            scaled = VideoFrame.from_ndarray(pixels).reformat(format="yuv420p")
        if frame.time is None:
            ticks = last + round(_CLOCK / fps) if last >= 0 else 0
        else:
            start = frame.time if start is None else start
            ticks = round((frame.time - start) * _CLOCK)
        last = max(ticks, last + 1)
        scaled.pts, scaled.time_base = last, Fraction(1, _CLOCK)
        scaled.pict_type = PictureType.NONE  # a frame that needed no scaling brings the source's type along
        yield scaled
