"""Small generated videos in many codecs, with the quirks of real files."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.bitstream
import numpy as np

HEIGHT, WIDTH = 48, 64
NUM_FRAMES = 40
_BITS = 6
_BLOCK = WIDTH // _BITS


def picture(number: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: `number` as black and white blocks above a texture that moves to the right."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    texture = 128 + 40 * np.sin((x - 2 * number) / 3) + 40 * np.cos(y / 4)
    pixels = np.stack([texture, 255 - texture, texture], axis=-1)
    for bit in range(_BITS):
        pixels[: HEIGHT // 2, bit * _BLOCK : (bit + 1) * _BLOCK] = 230 if number >> bit & 1 else 25
    return pixels.clip(0, 255).astype(np.uint8)


def shown_number(pixels: np.ndarray) -> int:
    """Read the number drawn by `picture` from a decoded frame of any size."""
    height, width = pixels.shape[:2]
    edges = [width * bit * _BLOCK // WIDTH for bit in range(_BITS + 1)]
    means = [pixels[: height // 2, edges[bit] : edges[bit + 1]].mean() for bit in range(_BITS)]
    return sum((mean > 128) << bit for bit, mean in enumerate(means))


def encode_av1(path: Path) -> Path:
    """Encode AV1, and undo the real-time priority that this encoder gives the process when run by root."""
    encode(path, "libsvtav1", options={"preset": "12", "svtav1-params": "keyint=10"})
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def encode(
    path: Path,
    codec: str,
    pix_fmt: str = "yuv420p",
    *,
    options: dict[str, str] | None = None,
    stamps: Sequence[int] | None = None,
    num_frames: int = NUM_FRAMES,
    max_b_frames: int = 0,
    rotation: int = 0,
    zoom: int = 1,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode `picture(0)`, `picture(1)`, ... at 25 fps, or at the timestamps `stamps` in milliseconds."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = zoom * WIDTH, zoom * HEIGHT, pix_fmt
        stream.codec_context.max_b_frames = max_b_frames
        stream.codec_context.gop_size = 10
        if rotation:
            stream.set_display_rotation(rotation)
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(num_frames):
            pixels = picture(number).repeat(zoom, axis=0).repeat(zoom, axis=1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts = number if stamps is None else stamps[number]
            frame.time_base = Fraction(1, 25) if stamps is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def hide_frames(source: Path, path: Path, hide: Callable[[bytes], bytes]) -> Path:
    """Change some packets so that they show nothing; they keep their timestamps."""

    def hidden(number: int, packet: av.Packet) -> list[av.Packet]:
        data = bytes(packet)
        if number % 7 == 4 and not packet.is_keyframe:
            data = hide(data)
        return [_packet(data, packet.pts, packet.time_base, packet.is_keyframe)]

    return _remux(source, path, hidden)


def hide_vp8(data: bytes) -> bytes:
    """Clear `show_frame` (RFC 6386, 9.1)."""
    return bytes([data[0] & ~0x10]) + data[1:]


def empty_mpeg4(data: bytes) -> bytes:
    """Clear `vop_coded` and drop the picture behind it (ISO/IEC 14496-2, 6.2.5), at 25 frames per second."""
    start = data.index(b"\0\0\1\xb6") + 4
    bits = "".join(f"{byte:08b}" for byte in data[start : start + 6])
    coded = bits.index("0", 2) + 7  # after the type, full seconds, marker, 5 bits of time, marker
    kept = f"{bits[:coded]}00".ljust(8 * (coded // 8 + 1), "1")
    return data[:start] + int(kept, 2).to_bytes(len(kept) // 8, "big")


def split_superframes(source: Path, path: Path) -> Path:
    """Put each frame of a VP9 superframe into a separate packet; hidden frames get slightly earlier timestamps."""
    split = av.bitstream.BitStreamFilterContext("vp9_superframe_split", _first_stream(source))

    def single(number: int, packet: av.Packet) -> list[av.Packet]:
        pts, time_base, is_keyframe = packet.pts or 0, packet.time_base, packet.is_keyframe  # reset by the filter
        parts = [bytes(part) for part in split.filter(packet)]
        return [
            _packet(data, pts - (len(parts) - 1 - i), time_base, is_keyframe and i == 0) for i, data in enumerate(parts)
        ]

    return _remux(source, path, single)


def _first_stream(path: Path) -> Any:
    return av.open(str(path)).streams.video[0]


def _packet(data: bytes, pts: int | None, time_base: Fraction, is_keyframe: bool) -> av.Packet:
    packet = av.Packet(data)
    packet.pts = packet.dts = pts
    packet.time_base, packet.is_keyframe = time_base, is_keyframe
    return packet


def _remux(source: Path, path: Path, change: Callable[[int, av.Packet], list[av.Packet]]) -> Path:
    """Copy a video, replacing each packet by those that `change` returns."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            for copy in change(number, packet) if packet.size else ():
                copy.stream = stream
                new.mux(copy)
    return path


def set_display_matrix(source: Path, path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Copy an MP4 file so that pixels (x, y) are displayed at (a x + c y, b x + d y); `matrix` is a, b, c, d."""
    data, (a, b, c, d) = source.read_bytes(), matrix
    at = data.find(b"tkhd") + 44  # the matrix of a track header of version 0
    values = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + struct.pack(">9i", *values) + data[at + 36 :])
    return path


def encode_audio(path: Path) -> Path:
    """Encode one second of silence without video."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    return path


def cut(source: Path, path: Path, part: float) -> Path:
    """Copy the first `part` (0 to 1) of a file."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def damage(source: Path, path: Path, at: float, size: int = 40) -> Path:
    """Copy a file with `size` bytes overwritten at the fraction `at`."""
    shutil.copy(source, path)
    with path.open("r+b") as file:
        file.seek(int(source.stat().st_size * at))
        file.write(b"\xff" * size)
    return path


_H264 = {"preset": "fast", "x264-params": "keyint=10:min-keyint=10:scenecut=0"}

VIDEOS: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": lambda p: encode(p, "libx264", options=_H264),
    "h264_b_frames.mp4": lambda p: encode(p, "libx264", options=_H264, max_b_frames=3),
    "h264_open_gop.mkv": lambda p: encode(
        p, "libx264", options=_H264 | {"x264-params": _H264["x264-params"] + ":open-gop=1"}, max_b_frames=3
    ),
    "h264_refresh.mp4": lambda p: encode(p, "libx264", options={"x264-params": "keyint=10:intra-refresh=1:scenecut=0"}),
    "h264.ts": lambda p: encode(p, "libx264", options=_H264, max_b_frames=2),
    "h264.avi": lambda p: encode(p, "libx264", options=_H264, max_b_frames=2),
    "h264_444.mp4": lambda p: encode(p, "libx264", "yuv444p", options=_H264),
    "h264_gray.mp4": lambda p: encode(p, "libx264", "gray", options=_H264),
    "h264_10bit.mp4": lambda p: encode(p, "libx264", "yuv420p10le", options=_H264),
    "h264_fragmented.mp4": lambda p: encode(
        p, "libx264", options=_H264, container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "h264_raw.264": lambda p: encode(p, "libx264", options=_H264, max_b_frames=2),
    "-dash.mp4": lambda p: encode(p, "libx264", options=_H264, num_frames=5),
    "one_frame.mp4": lambda p: encode(p, "libx264", options=_H264, num_frames=1),
    "variable_rate.mp4": lambda p: encode(
        p, "libx264", options=_H264, stamps=(np.arange(NUM_FRAMES) ** 2 * 7).tolist(), max_b_frames=2
    ),
    "hevc.mp4": lambda p: encode(p, "libx265", options={"x265-params": "keyint=10:log-level=none"}, max_b_frames=3),
    "av1.mkv": lambda p: encode_av1(p),
    "vp8.webm": lambda p: encode(p, "libvpx", options={"deadline": "realtime", "auto-alt-ref": "1"}),
    "vp9.webm": lambda p: encode(p, "libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    "vp8_alt_ref.webm": lambda p: encode(p, "libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp8_hidden.webm": lambda p: hide_frames(
        encode(p.with_name("shown.webm"), "libvpx", options={"auto-alt-ref": "0"}), p, hide_vp8
    ),
    "vp9_alt_ref.webm": lambda p: encode(p, "libvpx-vp9", options={"auto-alt-ref": "1", "lag-in-frames": "25"}),
    "vp9_split.webm": lambda p: split_superframes(VIDEOS["vp9_alt_ref.webm"](p.with_name("whole.webm")), p),
    "av1.mp4": lambda p: encode_av1(p),
    "vp9_alpha.webm": lambda p: encode(p, "libvpx-vp9", "yuva420p", options={"deadline": "realtime", "cpu-used": "8"}),
    "mpeg4.mp4": lambda p: encode(p, "mpeg4", max_b_frames=2),
    "mpeg4.avi": lambda p: encode(p, "mpeg4", max_b_frames=2),
    "mpeg1.mpg": lambda p: encode(p, "mpeg1video", max_b_frames=2),
    "mpeg2.ts": lambda p: encode(p, "mpeg2video", max_b_frames=2),
    "mjpeg.avi": lambda p: encode(p, "mjpeg", "yuvj420p"),
    "alpha.mov": lambda p: encode(p, "qtrle", "argb"),
    "gray.mkv": lambda p: encode(p, "ffv1", "gray"),
    "pictures.gif": lambda p: encode(p, "gif", "rgb8"),
}
"""Maps file names to functions that create them."""
