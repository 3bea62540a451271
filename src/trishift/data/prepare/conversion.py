"""Convert a video to numbered pictures, or to H.264 with dense key frames. Conversions appear only when complete.

Pictures decode fastest. A re-encoded video takes a tenth of the space, and with a key frame every 16 frames, reaching
any frame takes 8 decoded frames on average. Frames keep their number and order; videos also keep their timestamps.
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
from trishift.io.atomic import staged

_JPEG_QUALITY = 95
_KEY_FRAME_EVERY = 16
_RATE_FACTOR = 20  # x264's crf: visually the same at half the size of the usual 16
_CLOCK = 90_000  # ticks per second


@dataclass(frozen=True)
class Conversion:
    """Output format of converted videos.

    Attributes:
        kind: `frames` or `videos`.
        short_side: short side in pixels; smaller videos keep their size.
        template: file names of the frames, numbered from 1.
    """

    kind: Literal["frames", "videos"]
    short_side: int
    template: str

    def target(self, output: Path, name: str) -> Path:
        """Path of a converted clip: a folder of frames, or a file."""
        folder = output / converted_folder(self.kind, self.short_side)
        return folder / name if self.kind == "frames" else folder / f"{name}.mp4"

    def finished_frames(self, target: Path) -> int | None:
        """Frame count of a finished conversion, None if there is none; raises DataError if it is damaged."""
        if self.kind == "frames":
            return FrameFolder(target, self.template).num_frames if target.is_dir() else None
        return probe(target).announced_frames if target.is_file() else None

    def convert(self, source: Path, target: Path) -> int:
        """Convert a video and return its frame count; the target appears only when complete.

        Raises:
            DataError: no frame of the source can be decoded.
            OutputError: the target cannot be written.
        """
        write = _write_frames if self.kind == "frames" else _write_video
        with staged(target, sync=False) as new:
            try:
                return write(source, new, self)
            except av.FFmpegError as error:
                if isinstance(error, OSError):  # from the operating system
                    raise
                raise DataError(f"{source}: cannot be converted to {target} ({error})") from None


def _write_frames(source: Path, folder: Path, conversion: Conversion) -> int:
    folder.mkdir()
    count = 0
    for count, picture in enumerate(pictures(source, conversion.short_side), 1):
        Image.fromarray(picture).save(folder / conversion.template.format(count), quality=_JPEG_QUALITY)
    return count


def pictures(source: Path, short_side: int) -> Iterator[np.ndarray]:
    """Yield a video's frames as (H, W, 3) uint8, upright, all in the size of the first one."""
    size = None
    for frame, orientation in stream_frames(source):
        size = size or shrunk_size(frame.width, frame.height, short_side)
        width, height = size
        scaled = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC")
        yield np.ascontiguousarray(orientation.apply(scaled.to_ndarray()))


def shrunk_size(width: int, height: int, short_side: int, multiple: int = 1) -> tuple[int, int]:
    """(width, height) after shrinking to a short side, rounded to multiples; smaller clips keep their size.

    Stored clips round to the nearest size. `transforms.resized_size`, which sizes the network's input, rounds down as
    the original implementations do.
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
        stream.codec_context.color_range = first.color_range  # without it, full-range colors would be stretched
        stream.codec_context.colorspace = first.colorspace
        stream.codec_context.thread_count = 1  # several clips are converted in parallel
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
    """Scaled, upright frames that start at time 0, with strictly ascending timestamps even if the source's are not."""
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
        scaled.pict_type = PictureType.NONE  # unscaled frames still carry the source's picture type
        yield scaled
