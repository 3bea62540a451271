"""Number of displayed pictures per packet, read from the headers of codecs with hidden frames.

VP8, VP9 and AV1 have frames that are decoded for reference but never shown. MPEG-4 has pictures without content, which
the decoder leaves out, and packets with several pictures. Such frames may have separate packets and timestamps, so
counting packets would misnumber the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av

_AV1_FRAME_HEADER, _AV1_FRAME = 3, 6  # types of OBUs
_EMPTY = 4  # bytes of a start code or length without a picture behind it
_MPEG4_PICTURE = b"\0\0\1\xb6"
_MPEG4_HEADER = 8  # bytes that the header of a picture rarely exceeds


def shown_frames(codec: str, packet: av.Packet) -> int | None:
    """Count the pictures that the decoder outputs for a packet; 1 for codecs without hidden frames, None if unknown.

    Args:
        codec: FFmpeg's name of the codec.
        packet: the packet; its content is copied only for codecs with hidden frames.
    """
    count = _COUNTERS.get(codec)
    if count is None:
        return 1 if packet.size > _EMPTY else None
    return count(bytes(packet))


def _vp8(data: bytes) -> int:
    return data[0] >> 4 & 1  # RFC 6386, 9.1: show_frame


def _vp9(data: bytes) -> int:
    return sum(_vp9_is_shown(data[start:end]) for start, end in _vp9_frames(data))


def _vp9_is_shown(frame: bytes) -> bool:
    """Whether a frame is shown (VP9 bitstream specification, 6.2: uncompressed_header)."""
    bits = iter(f"{int.from_bytes(frame[:2].ljust(2, bytes(1)), 'big'):016b}"[2:])  # after frame_marker
    low, high = next(bits), next(bits)
    if low == high == "1":
        next(bits)  # reserved in profile 3
    if next(bits) == "1":  # show_existing_frame
        return True
    next(bits)  # frame_type
    return next(bits) == "1"


def _vp9_frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the frames of a packet: one, or those listed in a superframe index (annex B)."""
    marker = data[-1]
    count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = 2 + count * width
    if marker & 0xE0 != 0xC0 or len(data) < index or data[-index] != marker:
        yield 0, len(data)
        return
    start = 0
    for i in range(count):
        at = len(data) - index + 1 + i * width
        end = start + int.from_bytes(data[at : at + width], "little")
        if end > start:
            yield start, end
        start = end


def _av1(data: bytes) -> int:
    """Count the shown frames of a temporal unit (AV1 specification, 5.3 and 5.9.2)."""
    return sum(
        bool(payload[0] >> 7 & 1 or payload[0] >> 4 & 1)  # show_existing_frame, or frame_type and then show_frame
        for kind, payload in _av1_units(data)
        if kind in (_AV1_FRAME_HEADER, _AV1_FRAME) and payload
    )


def _av1_units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, payload) of each OBU."""
    at = 0
    while at < len(data):
        header = data[at]
        at += 2 if header & 4 else 1  # with or without an extension
        size = len(data) - at
        if header & 2:
            size, shift = 0, 0
            while at < len(data):
                byte = data[at]
                size, shift, at = size | (byte & 127) << shift, shift + 7, at + 1
                if byte < 128 or shift > 56:
                    break
        yield header >> 3 & 15, data[at : at + size]
        at += size


def _mpeg4(data: bytes) -> int | None:
    """Count the pictures; None if the last one may have no content (ISO/IEC 14496-2, 6.2.5: vop_coded)."""
    if len(data) - data.rfind(_MPEG4_PICTURE) <= len(_MPEG4_PICTURE) + _MPEG4_HEADER:
        return None
    return data.count(_MPEG4_PICTURE)


_COUNTERS: dict[str, Callable[[bytes], int | None]] = {
    "vp8": _vp8, "vp9": _vp9, "av1": _av1, "libdav1d": _av1, "mpeg4": _mpeg4,
}  # fmt: skip
