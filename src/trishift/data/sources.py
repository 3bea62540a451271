"""What a clip's frames are read from: one interface, and the functions that open whatever a path names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from trishift.data.parts import Part, split_part
from trishift.errors import DataError

_Source = TypeVar("_Source", bound="FrameSource")


class FrameSource(ABC):
    """The frames of one clip, counted from 0 in the order in which they are shown.

    Attributes:
        path: the video file or the folder.
        num_frames: how many frames there are; each of them can be read.
        fps: mean frames per second, None where unknown.
    """

    path: Path
    num_frames: int
    fps: float | None

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames with the given numbers, in the given order; numbers may repeat.

        Returns:
            (len(indices), H, W, 3) uint8 RGB.

        Raises:
            DataError: a number is out of range, or a frame cannot be decoded.
        """
        wanted = [int(index) for index in indices]
        for index in wanted:
            if not 0 <= index < self.num_frames:
                raise DataError(f"{self.path}: there is no frame {index}; the clip has {self.num_frames} frames")
        return self._read(wanted)

    @abstractmethod
    def _read(self, wanted: list[int]) -> np.ndarray:
        """`read` for numbers that are in range."""

    def close(self) -> None:  # noqa: B027  (folders have nothing to close)
        """Release files and decoders."""

    def __enter__(self: _Source) -> _Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class FrameRange(FrameSource):
    """A part of another source, whose frames it counts from 0."""

    def __init__(self, source: FrameSource, part: Part) -> None:
        self.path, self.fps = Path(f"{source.path}{part}"), source.fps
        self._source = source
        self._frames = part.frames(source.num_frames, source.fps, str(source.path))
        self.num_frames = len(self._frames)

    def _read(self, wanted: list[int]) -> np.ndarray:
        return self._source.read([self._frames[index] for index in wanted])

    def close(self) -> None:
        """Close the whole source."""
        self._source.close()


def _part_of(source: FrameSource, part: Part | None) -> FrameSource:
    """The part of a source that was just opened."""
    if part is None:
        return source
    try:
        return FrameRange(source, part)
    except BaseException:
        source.close()
        raise


def open_clip(path: str | Path, *, template: str | None = None, threads: int = 1) -> FrameSource:
    """Open a video file or a folder of frames.

    Args:
        path: a video, or a folder with one picture per frame, or a part of either (`clip.mp4#t=1,2.5`).
        template: file names of the pictures (`img_{:05d}.jpg`); found out if None.
        threads: decoder threads: 1 where several clips are read side by side, 0 (as many as useful) for one file.

    Raises:
        DataError: the path is missing, empty, has no video stream, or nothing in it can be decoded.

    Example:
        >>> from trishift.data.sources import open_clip
        >>> with open_clip("clip.mp4") as clip:
        ...     frames = clip.read([0, clip.num_frames - 1])  # the first and the last
        >>> frames.shape, frames.dtype
        ((2, 32, 32, 3), dtype('uint8'))
    """
    from trishift.data.frames import FrameFolder  # late: the readers implement the interface above
    from trishift.data.video import VideoFile

    path, part = split_part(path)
    source = FrameFolder(path, template) if path.is_dir() else VideoFile(path, threads=threads)
    return _part_of(source, part)


def open_flow(path: str | Path, *, template: str | None = None) -> FrameSource:
    """The flow of a clip; its `read` gives (n, H, W, 2) uint8, x and y.

    Args:
        path: a folder of flow pictures, or a video, whose flow is computed when it is read. A folder called by a number
            may be given with fewer zeros (Something-Something V1).
        template: file names in a folder, see `picture_templates`; found out if None.

    Raises:
        DataError: there is no such clip, pictures of a direction or in between are missing, or nothing can be decoded.
        FrameworkError: a video's flow needs OpenCV.

    Example:
        >>> from trishift.data.sources import open_flow
        >>> with open_flow("clip.mp4") as flow:
        ...     flow.read([0, 1]).shape  # x and y of two steps
        (2, 32, 32, 2)
    """
    from trishift.data.flow import FlowFolder, VideoFlow  # late, as in `open_clip`

    path, part = split_part(path)
    if not path.exists() and path.name.isdecimal():
        path = path.with_name(path.name.zfill(6))
    return _part_of(FlowFolder(path, template) if path.is_dir() else VideoFlow(path), part)
