"""Readers of videos and of the sources of streams."""

from __future__ import annotations

import itertools
import os
import shutil
import struct
from pathlib import Path

from benchmarks.reliability.readers import Reader
from benchmarks.reliability.texts import TEXTS, write_texts

_CODECS = (
    *(
        "h264.mp4",
        "h264.ts",
        "h264.avi",
        "h264_fragmented.mp4",
        "vp8.webm",
        "vp9_alt_ref.webm",
        "mpeg4.avi",
        "mpeg1.mpg",
    ),
    *(
        "mpeg2.ts",
        "mjpeg.avi",
        "gray.mkv",
        "pictures.gif",
        "h264_raw.264",
        "variable_rate.mp4",
        "alpha.mov",
        "h264_b_frames.mp4",
    ),
)


def _video_seeds(folder: Path) -> None:
    from testing.encoded_clips import VIDEOS

    for name in _CODECS:
        VIDEOS[name](folder / name)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _patched(data: bytes, kind: bytes, offset: int, value: int, size: str = ">I") -> bytes:
    """Overwrite a number in the first box of a kind, at an offset from its name."""
    at = data.find(kind) + offset
    return data[:at] + struct.pack(size, value) + data[at + struct.calcsize(size) :]


def _hostile_videos(folder: Path) -> None:
    seeds = folder / "seeds"
    seeds.mkdir()
    from testing.encoded_clips import VIDEOS

    for name in ("h264.mp4", "mjpeg.avi", "pictures.gif", "gray.mkv", "mpeg1.mpg"):
        VIDEOS[name](seeds / name)
    mp4, gif = (seeds / "h264.mp4").read_bytes(), (seeds / "pictures.gif").read_bytes()
    canary = "canary.mp4"
    scripts = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
        '<Representation id="1" mimeType="video/mp4" bandwidth="1"><BaseURL>{}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "[playlist]\nFile1={}\nNumberOfEntries=1\n",
        "<smil><body><video src='{}'/></body></smil>",
        "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n{}",
        "#!AviSynth\nDirectShowSource('{}')\n",
        "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>{}",
    )
    number = itertools.count()
    for script in scripts:
        for suffix in (".mp4", ".avi", ".m3u8", ".ffconcat", ".sdp", ".mpd", ""):
            for target in (
                canary,
                f"file:{canary}",
                "http://127.0.0.1:9/x",
                "concat:canary.mp4|canary.mp4",
                "/etc/passwd",
            ):
                if suffix in (".mp4", ".m3u8") or target == canary:
                    (folder / f"{next(number):03d}{suffix}").write_text(script.replace("{}", target))

    def add(data: bytes, suffix: str = ".mp4") -> None:
        (folder / f"{next(number):03d}{suffix}").write_bytes(data)

    for value in (0, 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1):
        for kind, offset in (
            (b"stsz", 12),
            (b"stsz", 8),
            (b"stts", 8),
            (b"stts", 12),
            (b"stts", 16),
            (b"stsc", 8),
            (b"stco", 8),
            (b"mdhd", 16),
            (b"mvhd", 16),
            (b"tkhd", 84),
            (b"elst", 8),
            (b"ctts", 8),
        ):
            add(_patched(mp4, kind, offset, value))
        for width, height in ((value & 0xFFFF, 1), (value & 0xFFFF, value & 0xFFFF)):
            add(_patched(_patched(gif, b"GIF89a", 6, width, "<H"), b"GIF89a", 8, height, "<H"), ".gif")
            add(_patched(_patched(mp4, b"avc1", 28, width, ">H"), b"avc1", 30, height, ">H"))
    for side in (4096, 12_000, 65_535):
        add(_gif_bomb(side, 3), ".gif")
        add(_y4m(side, side), ".y4m")
        for codec, suffix in (
            ("libx264", ".mp4"),
            ("mpeg1video", ".mpg"),
            ("ffv1", ".mkv"),
            ("png", ".mkv"),
            ("qtrle", ".mov"),
        ):
            data = _large_video(seeds / f"large{suffix}", codec, side) if side <= 12_000 else None
            if data:
                add(data, suffix)
    add(b"".join(_box(b"moof", _box(b"traf", b"")) for _ in range(50_000)) + mp4)
    nested = b""
    for _ in range(20_000):
        nested = _box(b"moov", nested)
    add(nested)
    add(_box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"moov", 2**63))
    add(mp4 * 20)
    add(mp4[:-200] + mp4)
    for name in ("h264.mp4", "gray.mkv", "pictures.gif", "mjpeg.avi", "mpeg1.mpg"):
        for suffix in (".mp4", ".avi", ".txt", ".jpg", ".wav", ".m3u8", ".yuv", ""):
            add((seeds / name).read_bytes(), suffix)
        for part in (0.01, 0.1, 0.5, 0.9, 0.99):
            data = (seeds / name).read_bytes()
            add(data[: int(len(data) * part)], Path(name).suffix)
    for text in TEXTS[:12]:
        add(text.encode("utf-8", "surrogateescape"))
    for data in (
        b"\0" * 10**6,
        os.urandom(10**6),
        b"\xff\xd8" * 1000,
        b"RIFF\xff\xff\xff\xffAVI LIST",
        b"\x1aE\xdf\xa3" + b"\x01" + b"\xff" * 7,
        b"ID3" * 1000,
        b"OggS" * 5000,
        b"FLV\1" + b"\0" * 9,
        b"\x47" * 18_800,
    ):
        add(data)
    shutil.rmtree(seeds)
    (folder / "zero.mp4").symlink_to("/dev/zero")
    (folder / "loop.mp4").symlink_to("loop.mp4")


def _gif_bomb(side: int, frames: int) -> bytes:
    """Pictures of one color that fill a huge screen."""
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    picture = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\0"
    return head + picture * frames + b";"


def _y4m(width: int, height: int) -> bytes:
    return f"YUV4MPEG2 W{width} H{height} F25:1 C420\nFRAME\n".encode() + b"\0" * 1000


def _large_video(path: Path, codec: str, side: int) -> bytes | None:
    """Two black frames of a large size; None if the encoder refuses."""
    import av

    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options={"preset": "ultrafast"} if codec == "libx264" else {})
            stream.width = stream.height = side
            stream.pix_fmt = {"png": "gray", "qtrle": "rgb24", "ffv1": "gray"}.get(codec, "yuv420p")
            frame = av.VideoFrame(side, side, stream.pix_fmt)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            for number in range(2):
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError, MemoryError):
        return None
    return path.read_bytes() if path.is_file() else None


def read_video(path: Path, out: Path) -> None:
    """Probe a video, read three frames, and stream the first ones; no sibling may be opened."""
    from trishift.data.sources import open_clip
    from trishift.data.video import probe, stream_frames

    canary = path.parent / "canary.mp4"
    (out / "canary.mp4").write_bytes(b"canary")
    shutil.move(out / "canary.mp4", canary)
    os.utime(canary, (0, 10))
    try:
        probe(path)
        with open_clip(path) as clip:
            clip.read([0, clip.num_frames // 2, clip.num_frames - 1])
        for _ in itertools.islice(stream_frames(path), 3):
            pass
    finally:
        opened = canary.stat().st_atime != 0
        canary.unlink()
        if opened:
            raise AssertionError("the video opened a file beside it")


def _source_seeds(folder: Path) -> None:
    texts = (
        "7",
        "file:///nowhere/clip.mp4",
        "nowhere/clip.mp4",
        "http://127.0.0.1:9/live",
        "rtsp://127.0.0.1:9/live",
        "udp://127.0.0.1:0?timeout=1000",
        "clip.mp4#t=1,2",
    )
    write_texts(folder, ".txt", texts)


def _hostile_sources(folder: Path) -> None:
    texts = [text for text in TEXTS if len(text) < 100_000]
    texts += [
        "concat:/nowhere|/nowhere",
        "lavfi:color",
        "file:/nowhere",
        "://",
        "http://",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "tcp://127.0.0.1:9",
        "x" * 5000,
        "file://" + "x" * 5000,
        "file://%00",
        "file://%ff",
        "9" * 30,
        "٣",
        "²",
        "a\0b",
        "nosuch://x",
        "crypto:x",
        "data:text/plain,x",
        "subfile,,start,0,end,9,,:/nowhere",
        "-",
        "pipe:0",
        "cache:x",
        "http://user:pw@127.0.0.1:9/",
    ]
    write_texts(folder, ".txt", tuple(texts))


def read_source(path: Path, out: Path) -> None:
    """Open what `trishift stream SOURCE` would open, without waiting for an answer."""
    from trishift.streaming.sources import open_source

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    if "\0" in text:
        return  # no command line contains it
    source = open_source(text, timeout=0.2)
    for _ in itertools.islice(source.frames(), 2):
        pass


READERS = {
    "video": Reader("video file", _video_seeds, _hostile_videos, read_video, seconds=10.0, megabytes=1000),
    "source": Reader("source of `trishift stream`", _source_seeds, _hostile_sources, read_source),
}
