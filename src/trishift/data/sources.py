"""The interface of frame sources, and functions that open a clip or its optical flow by path."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from trishift.data.parts import Part, split_part
from trishift.data.picture_names import flow_trees
from trishift.errors import DataError
from trishift.io.regular import exists, is_dir
from trishift.io.storage import stored_files
from trishift.io.storage.remote import FolderObject
from trishift.io.wording import counted

_Source = TypeVar("_Source", bound="FrameSource")


class FrameSource(ABC):
    """The frames of one clip in presentation order, numbered from 0.

    Attributes:
        path: video file or folder.
        num_frames: number of readable frames.
        fps: mean frames per second; None if unknown.
        times: (num_frames,) seconds of the frames, ascending from 0; None if unknown.
    """

    path: Path
    num_frames: int
    fps: float | None
    times: np.ndarray | None = None

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read frames by number, in the given order; numbers may repeat.

        Returns:
            (len(indices), H, W, 3) uint8 RGB.

        Raises:
            DataError: a number is out of range, or a frame cannot be decoded.
        """
        wanted = [int(index) for index in indices]
        for index in wanted:
            if not 0 <= index < self.num_frames:
                raise DataError(
                    f"{self.path}: there is no frame {index}; the clip has {counted(self.num_frames, 'frame')}"
                )
        return self._read(wanted)

    @abstractmethod
    def _read(self, wanted: list[int]) -> np.ndarray:
        """Implement `read` for numbers in range."""

    def close(self) -> None:  # noqa: B027  (folders have nothing to close)
        """Release files and decoders."""

    def __enter__(self: _Source) -> _Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class FrameRange(FrameSource):
    """A part of another source, with frames numbered from 0.

    Attributes:
        numbers: the frames of the part in the other source.
    """

    def __init__(self, source: FrameSource, part: Part) -> None:
        self.path, self.fps = Path(f"{source.path}{part}"), source.fps
        self._source = source
        self._set(part.frames(source.num_frames, source.fps, str(source.path), source.times))

    def widen(self, margin: int) -> int:
        """Add up to `margin` frames of the other source on either side; returns how many were added before."""
        start, stop = max(0, self.numbers.start - margin), min(self._source.num_frames, self.numbers.stop + margin)
        added = self.numbers.start - start
        self._set(range(start, stop))
        return added

    def _set(self, numbers: range) -> None:
        self.numbers, self.num_frames, times = numbers, len(numbers), self._source.times
        if times is not None:
            self.times = times[numbers.start : numbers.stop] - times[numbers.start]

    def _read(self, wanted: list[int]) -> np.ndarray:
        return self._source.read([self.numbers[index] for index in wanted])

    def close(self) -> None:
        """Close the whole source."""
        self._source.close()


def _part_of(source: FrameSource, part: Part | None) -> FrameSource:
    """Restrict a newly opened source to a part; closes it on error."""
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
        path: a video, a folder with one picture per frame, or a part of either (`clip.mp4#t=1,2.5`), also in a store
            or a shard (`s3://bucket/frames/clip`, `train-000000.tar/clip`).
        template: file name of the pictures (`img_{:05d}.jpg`); None: detected.
        threads: decoder threads; 1 is best when several clips are read in parallel, 0 lets FFmpeg choose.

    Raises:
        DataError: the path does not exist, the file is empty, or it has no decodable video stream.

    Example:
        >>> from trishift.data.sources import open_clip
        >>> with open_clip("clip.mp4") as clip:
        ...     frames = clip.read([0, clip.num_frames - 1])  # the first and the last
        >>> frames.shape, frames.dtype
        ((2, 32, 32, 3), dtype('uint8'))
    """
    from trishift.data.frames import FrameFolder, stored_frames  # here because the readers import this module
    from trishift.data.video import VideoFile

    path, part = split_part(path)
    if is_dir(path):
        return _part_of(FrameFolder(path, template), part)
    if stored := stored_frames(path):
        return _part_of(FrameFolder(path, template, stored), part)
    try:
        return _part_of(VideoFile(path, threads=threads), part)
    except FolderObject:  # a folder that is named like a video
        return _part_of(FrameFolder(path, template, stored_files(path)), part)


def is_frame_folder(path: Path) -> bool:
    """Whether a clip is a folder of pictures, here, in a store or in a shard.

    Raises:
        DataError: the store cannot be reached or refuses, or the shard has no index.
    """
    from trishift.data.frames import stored_frames

    return is_dir(path) or bool(stored_frames(path))


def open_flow(path: str | Path, *, template: str | None = None) -> FrameSource:
    """Open the optical flow of a clip; its `read` returns (n, H, W, 2) uint8, x and y.

    Args:
        path: a folder of flow pictures, or a video whose flow is computed on reading. The leading zeros of a numeric
            folder name are optional (Something-Something V1).
        template: file names in a folder, see `picture_templates`; None: detected.

    Raises:
        DataError: the clip does not exist or cannot be decoded, or flow pictures are missing.
        FrameworkError: computing flow from a video requires OpenCV.

    Example:
        >>> from trishift.data.sources import open_flow
        >>> with open_flow("clip.mp4") as flow:
        ...     flow.read([0, 1]).shape  # x and y of two steps
        (2, 32, 32, 2)
    """
    from trishift.data.flow import FlowFolder, VideoFlow  # here as in `open_clip`
    from trishift.data.frames import stored_frames

    path, part = split_part(path)
    if not exists(path) and path.name.isdecimal():
        path = path.with_name(path.name.zfill(6))
    if stored := stored_frames(path):
        return _part_of(FlowFolder(path, template, stored), part)
    is_folder = is_dir(path) or flow_trees(path) is not None
    return _part_of(FlowFolder(path, template) if is_folder else VideoFlow(path), part)
