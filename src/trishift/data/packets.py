"""An index of a video's frames, built from its packets without decoding.

Seeking is frame-exact only if each frame can be identified after a seek. `index_packets` therefore trusts a file only
if every packet holds at most one displayed frame with a unique timestamp, and key frames start a new sequence. For all
other files (packed B-frames, raw streams, damaged packets) it returns None, and the caller decodes everything.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from trishift.data.shown_frames import shown_frames

# Codecs whose packets display at most one frame and whose key frames reset the decoder.
_SEEKABLE_CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "prores"}
)
# AVI: timestamps are decoding times, even if frames are reordered. MPEG program streams: after a seek, pictures get the
# timestamps of others.
_UNTIMED_FORMATS = frozenset({"avi", "mpeg"})
_H264_IDR = 5  # NAL unit type of a picture that later pictures do not look behind
_WORTH_A_SEEK = 12  # packets; decoding a shorter gap is cheaper than seeking
_CACHED_FRAMES = 4_000_000  # about 130 MB


@dataclass(frozen=True)
class Run:
    """Consecutive packets to decode: from the key frame at `first_pts` to the packet at `last_pts`."""

    first_pts: int
    last_pts: int
    wanted: dict[int, int]  # timestamp -> frame number


@dataclass(frozen=True)
class PacketIndex:
    """Locations of a video's frames.

    Attributes:
        stamps: (num_packets,) int64, timestamps in decoding order.
        pts: (num_frames,) int64, timestamps of the frames in presentation order.
        positions: (num_frames,) int64, packet of each frame.
        starts: (num_starts,) int64, packets where decoding may start, ascending.
    """

    stamps: np.ndarray
    pts: np.ndarray
    positions: np.ndarray
    starts: np.ndarray

    def runs(self, frames: Sequence[int]) -> Iterator[Run]:
        """Yield the runs of packets that contain the given frame numbers (ascending, unique)."""
        for start, members in groupby(self._with_starts(frames), key=lambda pair: pair[0]):
            wanted = [frame for _, frame in members]
            last = int(self.positions[wanted].max())
            yield Run(
                int(self.stamps[start]), int(self.stamps[last]), {int(self.pts[frame]): frame for frame in wanted}
            )

    def group_before(self, frame: int) -> int:
        """Time stamp of the packet at which decoding starts one group before that of a frame."""
        group = int(np.searchsorted(self.starts, self.positions[frame], side="right")) - 2
        return int(self.stamps[self.starts[max(0, group)]])

    def largest_step_back(self) -> int:
        """By how much a time stamp in decoding order lies at most before the latest one."""
        return int((np.maximum.accumulate(self.stamps) - self.stamps).max())

    def _with_starts(self, frames: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield (start of run, frame); a frame joins the previous run if that is cheaper than a seek."""
        run_start, run_end = -1, -_WORTH_A_SEEK
        for frame in frames:
            position = int(self.positions[frame])
            start = int(self.starts[np.searchsorted(self.starts, position, side="right") - 1])
            if run_start < 0 or start > run_end + _WORTH_A_SEEK:
                run_start = start
            run_end = max(run_end, position)
            yield run_start, frame


class IndexCache:
    """Indices of the files opened last, so that the parts of a long video do not each read all of its packets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, PacketIndex | None] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], PacketIndex | None]) -> PacketIndex | None:
        """The index of the file with an identity; made if the file is new or has changed."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        index = make()
        with self._lock:
            self._kept[key] = index
            while len(self._kept) > 1 and sum(map(_frames, self._kept.values())) > _CACHED_FRAMES:
                self._kept.popitem(last=False)
        return index


def _frames(index: PacketIndex | None) -> int:
    return 1000 if index is None else len(index.stamps) + 1000  # of any file, so that their number is limited, too


def demuxed(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """The packets of a stream, and an empty one at the end."""
    with suppress(IndexError):  # raised by PyAV after these, if other streams have appeared within the file
        yield from container.demux(stream)


def index_packets(container: InputContainer, stream: VideoStream) -> PacketIndex | None:
    """Index the packets of a stream; None if they do not determine which frames decoding yields.

    Reads the container to its end.
    """
    codec = stream.codec_context
    if codec.name not in _SEEKABLE_CODECS or container.format.name in _UNTIMED_FORMATS:
        return None
    length_size = _nal_length_size(codec.name, codec.extradata)
    stamps: list[int] = []
    hidden: list[int] = []
    starts: list[int] = []
    latest = None  # the latest time stamp so far
    try:
        for packet in demuxed(container, stream):
            if packet.size == 0:
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            if length_size and not _fills_packet(bytes(packet), length_size):
                return None
            in_order = latest is None or packet.pts > latest
            if packet.is_keyframe and in_order and _starts_sequence(codec.name, packet, length_size):
                starts.append(len(stamps))
            shown = shown_frames(codec.name, packet)
            if shown is None or shown > 1:
                return None
            if shown == 0:
                hidden.append(len(stamps))
            stamps.append(packet.pts)
            latest = packet.pts if latest is None else max(latest, packet.pts)
    except av.FFmpegError:
        return None
    if codec.name == "h264" and (codec.pix_fmt or "").startswith("yuv444"):
        starts = starts[:1]  # FFmpeg's workaround for an x264 bug needs the version in the first packet
    return _checked_index(stamps, hidden, starts)


def _checked_index(stamps: list[int], hidden: list[int], starts: list[int]) -> PacketIndex | None:
    """Build the index; None unless the first packet is a start and displayed first, and timestamps are unique."""
    if not starts or starts[0] != 0 or min(stamps) != stamps[0] or len(set(stamps)) != len(stamps):
        return None
    pts = np.array(stamps, np.int64)
    positions = np.argsort(pts)
    positions = positions[~np.isin(positions, hidden)]
    return PacketIndex(pts, pts[positions], positions, np.array(starts, np.int64))


def _nal_length_size(codec: str, extradata: bytes | None) -> int:
    """Size of the length field before each NAL unit in MP4-style H.264 and HEVC; 0 otherwise."""
    if extradata and codec == "h264" and len(extradata) > 4 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    if extradata and codec == "hevc" and len(extradata) > 21 and extradata[0] == 1:
        return (extradata[21] & 3) + 1
    return 0


def _nal_offsets(data: bytes, length_size: int) -> Iterator[int]:
    """Yield the offset of each NAL unit's first byte, then where the next unit would start."""
    offset = length_size
    while offset < len(data):
        yield offset
        offset += int.from_bytes(data[offset - length_size : offset], "big") + length_size
    yield offset


def _fills_packet(data: bytes, length_size: int) -> bool:
    """Whether the lengths of the NAL units add up to the packet size; in damaged packets they do not."""
    *_, end = _nal_offsets(data, length_size)
    return end == len(data) + length_size


def _starts_sequence(codec: str, packet: av.Packet, length_size: int) -> bool:
    """Whether no packet after this key frame refers to an earlier one.

    H.264 also flags recovery points as key frames, from which a decoder recovers only gradually.
    """
    if codec != "h264":
        return True
    data = bytes(packet)
    if length_size:
        return any(data[i] & 31 == _H264_IDR for i in _nal_offsets(data, length_size) if i < len(data))
    parts = data.split(b"\x00\x00\x01")[1:]
    return any(part and part[0] & 31 == _H264_IDR for part in parts)
