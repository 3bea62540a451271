"""Frame-exact reading of video files with PyAV (FFmpeg).

Frame i is defined as the i-th picture that decoding the whole file yields. If the packets can be trusted
(`packets.index_packets`), only those from a key frame to the requested frame are decoded; otherwise, all of them are.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from trishift.data.containers import MAX_PIXELS, OPTIONS, REFUSAL
from trishift.data.orientation import Orientation, Orientations, orientation
from trishift.data.packets import IndexCache, Run, demuxed, index_packets
from trishift.data.picture_names import PICTURE_SUFFIXES
from trishift.data.sources import FrameSource
from trishift.data.sources import open_clip as open_clip  # importable from here as well
from trishift.errors import DataError
from trishift.io.regular import status_of
from trishift.io.storage import identity, open_stored
from trishift.io.storage.ranges import RangeFile
from trishift.io.wording import unreadable

_TEXT_CODECS = frozenset({"ansi", "bintext", "xbin", "idf"})  # FFmpeg renders text files as pictures
_INDICES = IndexCache()
_JUMP = 1.0  # seconds by which the time stamps of packets may be out of order
_KEPT_BYTES = 64 * 2**20  # limit for decoded pictures that a scan keeps in memory


@dataclass(frozen=True)
class ClipInfo:
    """Properties of a video according to its header and first frame.

    Attributes:
        codec: FFmpeg's name of the codec.
        width, height: displayed size in pixels, after rotation.
        fps: mean frames per second; None if unknown.
        duration: seconds; None if unknown.
        announced_frames: the header's frame count, None if missing; fewer may decode.
        start: time stamp of the first frame in seconds; None if it has none.
    """

    codec: str
    width: int
    height: int
    fps: float | None
    duration: float | None
    announced_frames: int | None
    start: float | None


def probe(path: str | Path) -> ClipInfo:
    """Read a video's properties, decoding only its first frame; raises DataError like `open_clip`."""
    path = Path(path)
    container, stream = _open(path, threads=1)
    with container:
        frame = next(_decoded(container, stream), None)
        if frame is None:
            raise _undecodable(path)
        sideways = orientation(frame).transposed
        width, height = (frame.height, frame.width) if sideways else (frame.width, frame.height)
        return ClipInfo(
            codec=stream.codec_context.name,
            width=width,
            height=height,
            fps=_fps(stream),
            duration=_duration(container, stream),
            announced_frames=stream.frames or None,
            start=frame.time,
        )


def stream_frames(path: str | Path, *, threads: int = 1) -> Iterator[tuple[VideoFrame, Orientation]]:
    """Decode all frames of a video in presentation order, one at a time.

    Yields:
        FFmpeg's frame, and the orientation that turns it upright.

    Raises:
        DataError: like `open_clip`.
    """
    path = Path(path)
    container, stream = _open(path, threads)
    any_frame, orientations = False, Orientations()
    with container:
        for frame in _decoded(container, stream):
            any_frame = True
            yield frame, orientations.of(frame)
    if not any_frame:
        raise _undecodable(path)


def open_seekable(path: str | Path) -> VideoFile | None:
    """Open a video of which frames can be read from the middle, with the same times as from the beginning; else None.

    Reads all packets of a file that was not read before, but decodes none of them.

    Raises:
        DataError: like `open_clip`.
    """
    path = Path(path)
    container, stream = _open(path, threads=1)
    with container:
        index = _INDICES.get(identity(path), lambda: index_packets(container, stream))
        if index is None or not stream.time_base or index.largest_step_back() * stream.time_base >= _JUMP:
            return None
    return VideoFile(path)


class VideoFile(FrameSource):
    """The frames of the best video stream of a file.

    Display matrices are applied (phone videos, mirrored front cameras); the pixel aspect ratio is not. Transparency is
    dropped.

    Args:
        path: the file.
        threads: decoder threads; 0: chosen by FFmpeg.

    Attributes:
        announced_frames: the header's frame count or None. More than `num_frames` means a damaged or truncated file.
        duration: seconds; None if unknown.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        self.path = Path(path)
        self._threads = threads
        self._container, self._stream = _open(self.path, threads)
        self.fps = _fps(self._stream)
        self.duration = _duration(self._container, self._stream)
        self.announced_frames = self._stream.frames or None
        self._size = (self._stream.codec_context.width, self._stream.codec_context.height)
        self._kept: list[VideoFrame] | None = None
        self._reformatter = VideoReformatter()
        try:
            self._index = _INDICES.get(identity(self.path), lambda: index_packets(self._container, self._stream))
            self.num_frames = self._scan() if self._index is None else len(self._index.pts)
            if self._index is not None and self._stream.time_base:
                self.times = (self._index.pts - self._index.pts[0]) * float(self._stream.time_base)
        except BaseException:
            self.close()
            raise

    @property
    def seekable(self) -> bool:
        """Whether frames can be read without decoding the file from its beginning."""
        return self._index is not None

    def close(self) -> None:
        """Close the file; `read` must not be called afterwards."""
        self._kept = None
        self._container.close()

    def stream(self, number: int) -> Iterator[VideoFrame]:
        """Decode all frames from one on, in order; only of a `seekable` file.

        The first frames after a key frame may refer to the group before, so decoding starts one group earlier.
        """
        assert self._index is not None
        wanted, reached = int(self._index.pts[number]), False
        self._stream.codec_context.skip_frame = "DEFAULT"
        for packet in chain(self._packets_from(self._index.group_before(number)), (None,)):
            for frame in _decode(self._stream.codec_context, packet):
                reached = reached or (frame.pts is not None and frame.pts >= wanted)
                if reached:
                    frame.time_base = self._stream.time_base  # which those of the flush at the end lack
                    yield frame

    def _read(self, wanted: list[int]) -> np.ndarray:
        numbers = sorted(set(wanted))
        pictures = self._read_by_index(numbers) if self._index else self._read_by_scan(numbers)
        return np.stack([pictures[number] for number in wanted]) if wanted else np.empty((0, 0, 0, 3), np.uint8)

    def _read_by_index(self, numbers: list[int]) -> dict[int, np.ndarray]:
        assert self._index is not None
        pictures: dict[int, np.ndarray] = {}
        for run in self._index.runs(numbers):
            found = self._read_run(run)
            if found is None:
                return self._correct(numbers)
            pictures |= found
        return pictures

    def _read_run(self, run: Run) -> dict[int, np.ndarray] | None:
        """Decode the wanted frames of a run; None if one is missing or damaged and may depend on earlier packets."""
        pictures = {}
        for frame in self._decode_run(run):
            if frame.is_corrupt:
                return None
            if frame.pts is not None and frame.pts in run.wanted:
                pictures[run.wanted[frame.pts]] = self._picture(frame)
        return pictures if len(pictures) == len(run.wanted) else None

    def _correct(self, numbers: list[int]) -> dict[int, np.ndarray]:
        """Read by decoding the whole file, after the packets turned out to be damaged."""
        announced, self._index, self.times = self.num_frames, None, None
        self.num_frames = self._scan()
        if numbers[-1] >= self.num_frames:
            raise DataError(
                f"{self.path}: damaged, only {self.num_frames} of {announced} frames can be decoded; "
                "copy it again or remove it"
            )
        return self._read_by_scan(numbers)

    def _decode_run(self, run: Run) -> Iterator[VideoFrame]:
        """Decode a run in presentation order; some unwanted frames are omitted."""
        codec = self._stream.codec_context
        for packet in self._packets_from(run.first_pts):
            # Frames that no other frame refers to are decoded only if wanted.
            codec.skip_frame = "DEFAULT" if packet.pts in run.wanted else "NONREF"
            yield from _decode(codec, packet)
            if packet.pts == run.last_pts:
                break
        yield from _decode(codec, None)

    def _packets_from(self, pts: int) -> Iterator[av.Packet]:
        """Yield the packets starting at this timestamp."""
        try:
            self._container.seek(pts, stream=self._stream)
        except av.FFmpegError:
            self._reopen()
        reached = False
        for attempt in ("seek", "rewind"):
            for packet in demuxed(self._container, self._stream):
                reached = reached or packet.pts == pts
                if reached and packet.size:
                    yield packet
            if reached or attempt == "rewind":
                return
            self._reopen()

    def _scan(self) -> int:
        """Count the frames by decoding all of them; keeps them in memory if they are small enough."""
        self._reopen()
        kept: list[VideoFrame] | None = []
        count = kept_bytes = 0
        for frame in _decoded(self._container, self._stream):
            count += 1
            kept_bytes += sum(plane.buffer_size for plane in frame.planes)
            if kept_bytes > _KEPT_BYTES:
                kept = None
            if kept is not None:
                kept.append(frame)
        if count == 0:
            raise _undecodable(self.path)
        self._kept = kept
        return count

    def _read_by_scan(self, numbers: list[int]) -> dict[int, np.ndarray]:
        if self._kept is not None:
            return {number: self._picture(self._kept[number]) for number in numbers}
        self._reopen()
        missing = set(numbers)
        pictures = {}
        for number, frame in enumerate(_decoded(self._container, self._stream)):
            if number in missing:
                pictures[number] = self._picture(frame)
                missing.remove(number)
            if not missing:
                break
        return pictures

    def _reopen(self) -> None:
        self._container.close()
        self._container, self._stream = _open(self.path, self._threads)

    def _picture(self, frame: VideoFrame) -> np.ndarray:
        """Convert to (H, W, 3) uint8 RGB, upright and scaled to the header's size."""
        width, height = self._size
        # One reformatter for all frames; `frame.reformat` would set up FFmpeg's scaler again for each of them.
        pixels = self._reformatter.reformat(frame, width or frame.width, height or frame.height, "rgb24", threads=1)
        return orientation(frame).apply(pixels.to_ndarray())


def _open(path: Path, threads: int) -> tuple[InputContainer, VideoStream]:
    """Open a file and its best video stream; any failure becomes a one-line DataError."""
    try:
        container = av.open(source_of(path), options=dict(OPTIONS), metadata_errors="replace")
    except (FileNotFoundError, PermissionError) as error:
        raise DataError(unreadable(path, error)) from None
    except av.ArgumentError:
        if path.suffix.lower() in PICTURE_SUFFIXES:
            raise DataError(f"{path}: a single picture; a clip is a video or a folder of numbered pictures") from None
        raise DataError(f"{path}: {REFUSAL}; give the video itself") from None
    except av.FFmpegError as error:
        reason = f"not a video, or damaged or truncated (FFmpeg: {error.strerror})"
        raise DataError(f"{path}: {reason}; copy it again or remove it") from None
    except OSError as error:
        raise DataError(unreadable(path, error)) from None
    stream = _best_stream(container)
    if stream is None:
        kinds = sorted({"pictures" if s.type == "video" else s.type for s in container.streams})
        container.close()
        raise DataError(f"{path}: has no video stream (only {', '.join(kinds) or 'nothing'}); remove it")
    codec = stream.codec_context
    if codec.width * codec.height > MAX_PIXELS:
        container.close()
        raise DataError(f"{path}: frames of {codec.width} x {codec.height} pixels are too large; re-encode the video")
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    codec.thread_count = threads
    stream.thread_type = "NONE" if threads == 1 else "AUTO"
    return container, stream


def source_of(path: Path) -> Any:
    """The file in a form that FFmpeg opens: a name that can't be mistaken for a URL, or an object to read from.

    That are stored clips, see `io.storage`, and files whose names are not UTF-8.
    """
    stored = open_stored(path)
    if (_size(path) if stored is None else stored.size) == 0:
        raise DataError(f"{path}: the file is empty (0 bytes); copy it again or remove it")
    if stored is not None:
        return RangeFile(stored)
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return io.BytesIO(path.read_bytes())
    return f"file:{path}"


def _size(path: Path) -> int:
    status = status_of(path)
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path}: a folder, not a video file; give the video itself")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: a pipe or device, not a video file; save the video to a file first")
    return status.st_size


def _best_stream(container: InputContainer) -> VideoStream | None:
    """FFmpeg's choice among the video streams; None for cover pictures and rendered text."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        return None
    is_cover = bool(stream.disposition & av.stream.Disposition.attached_pic)
    return None if is_cover or stream.codec_context.name in _TEXT_CODECS else stream


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode the remaining frames in presentation order; undecodable packets are skipped."""
    try:
        for packet in demuxed(container, stream):
            yield from _decode(stream.codec_context, packet)
    except av.FFmpegError:  # the file is truncated
        yield from _decode(stream.codec_context, None)


def _decode(codec: Any, packet: av.Packet | None) -> list[VideoFrame]:
    """Decode a packet (None: flush); no frames if it is damaged."""
    try:
        return codec.decode(packet)
    except av.FFmpegError:
        return []


def _fps(stream: VideoStream) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _undecodable(path: Path) -> DataError:
    return DataError(f"{path}: no frame can be decoded, it is damaged or truncated; copy it again or remove it")
