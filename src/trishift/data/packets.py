"""An index of a video's frames, made from its packets without decoding any of them.

Seeking is frame-exact only if each frame can be recognized again after a jump. `index_packets` therefore trusts a
file only where every packet stands for one frame with a time stamp of its own, and a key frame really starts a new
sequence. For all other files (packed B-frames, raw streams, damaged packets) it returns None, and the caller decodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from trishift.data.shown_frames import shown_frames

# Codecs where a packet shows one frame or none, and a key frame resets the decoder.
_SEEKABLE_CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "prores"}
)
_UNTIMED_FORMATS = frozenset({"avi"})  # its time stamps are decoding times, even where frames are reordered
_H264_IDR = 5  # type of the NAL units of a picture before which nothing is referenced
_WORTH_A_SEEK = 12  # packets; decoding a shorter gap is cheaper than jumping over it


@dataclass(frozen=True)
class Run:
    """Packets to decode in one go: from the key frame stamped `first_pts` to the packet stamped `last_pts`."""

    first_pts: int
    last_pts: int
    wanted: dict[int, int]  # time stamp -> frame number


@dataclass(frozen=True)
class PacketIndex:
    """Where the frames of a video are.

    Attributes:
        stamps: (num_packets,) int64, time stamps in decoding order.
        pts: (num_frames,) int64, time stamps of the frames in presentation order.
        positions: (num_frames,) int64, the packet of each frame.
        starts: (num_starts,) int64, ascending packets where decoding may start.
    """

    stamps: np.ndarray
    pts: np.ndarray
    positions: np.ndarray
    starts: np.ndarray

    def runs(self, frames: Sequence[int]) -> Iterator[Run]:
        """The runs of packets that contain the given frame numbers (ascending, unique)."""
        for start, members in groupby(self._with_starts(frames), key=lambda pair: pair[0]):
            wanted = [frame for _, frame in members]
            last = int(self.positions[wanted].max())
            yield Run(
                int(self.stamps[start]), int(self.stamps[last]), {int(self.pts[frame]): frame for frame in wanted}
            )

    def _with_starts(self, frames: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Each frame with the place where its run starts: its own key frame, or the run it is close behind."""
        run_start, run_end = -1, -_WORTH_A_SEEK
        for frame in frames:
            position = int(self.positions[frame])
            start = int(self.starts[np.searchsorted(self.starts, position, side="right") - 1])
            if run_start < 0 or start > run_end + _WORTH_A_SEEK:
                run_start = start
            run_end = max(run_end, position)
            yield run_start, frame


def index_packets(container: InputContainer, stream: VideoStream) -> PacketIndex | None:
    """Index the packets of a stream, or None where they do not tell which frames will come out.

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
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            if length_size and not _fills_packet(bytes(packet), length_size):
                return None
            in_order = latest is None or packet.pts > latest
            if packet.is_keyframe and in_order and _starts_sequence(codec.name, packet, length_size):
                starts.append(len(stamps))
            shown = shown_frames(codec.name, bytes(packet))
            if shown == 0:
                hidden.append(len(stamps))
            elif shown > 1:
                return None
            stamps.append(packet.pts)
            latest = packet.pts if latest is None else max(latest, packet.pts)
    except av.FFmpegError:
        return None
    if codec.name == "h264" and (codec.pix_fmt or "").startswith("yuv444"):
        starts = starts[:1]  # FFmpeg works around an x264 bug here, but knows the version from the first packet only
    return _checked_index(stamps, hidden, starts)


def _checked_index(stamps: list[int], hidden: list[int], starts: list[int]) -> PacketIndex | None:
    """The index, if decoding starts with the first packet, shows it first, and no time stamp comes twice."""
    if not starts or starts[0] != 0 or min(stamps) != stamps[0] or len(set(stamps)) != len(stamps):
        return None
    pts = np.array(stamps, np.int64)
    positions = np.argsort(pts)
    positions = positions[~np.isin(positions, hidden)]
    return PacketIndex(pts, pts[positions], positions, np.array(starts, np.int64))


def _nal_length_size(codec: str, extradata: bytes | None) -> int:
    """Bytes of the length before each NAL unit in MP4-style H.264 and HEVC; 0 for start codes and other codecs."""
    if extradata and codec == "h264" and len(extradata) > 4 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    if extradata and codec == "hevc" and len(extradata) > 21 and extradata[0] == 1:
        return (extradata[21] & 3) + 1
    return 0


def _nal_offsets(data: bytes, length_size: int) -> Iterator[int]:
    """Offsets of the NAL units' first bytes; the last value is where the next unit would be."""
    offset = length_size
    while offset < len(data):
        yield offset
        offset += int.from_bytes(data[offset - length_size : offset], "big") + length_size
    yield offset


def _fills_packet(data: bytes, length_size: int) -> bool:
    """Whether the lengths of the NAL units add up to the packet; those of a damaged packet do not."""
    *_, end = _nal_offsets(data, length_size)
    return end == len(data) + length_size


def _starts_sequence(codec: str, packet: av.Packet, length_size: int) -> bool:
    """Whether nothing after this key frame refers to anything before it.

    Only H.264 flags other pictures too: those with a recovery point, from which a decoder recovers gradually.
    """
    if codec != "h264":
        return True
    data = bytes(packet)
    if length_size:
        return any(data[i] & 31 == _H264_IDR for i in _nal_offsets(data, length_size) if i < len(data))
    parts = data.split(b"\x00\x00\x01")[1:]
    return any(part and part[0] & 31 == _H264_IDR for part in parts)
