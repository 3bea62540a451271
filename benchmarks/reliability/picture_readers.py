"""Readers of pictures."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.reliability.readers import Reader


def _pictures() -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    rng = np.random.default_rng(0)
    for suffix, mode in (
        (".jpg", "RGB"),
        (".png", "RGBA"),
        (".png", "L"),
        (".webp", "RGB"),
        (".bmp", "RGB"),
        (".png", "P"),
    ):
        picture, packed = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).convert(mode), io.BytesIO()
        picture.save(packed, {".jpg": "JPEG"}.get(suffix, suffix[1:].upper()))
        yield suffix, packed.getvalue()
    packed = io.BytesIO()
    Image.fromarray(rng.integers(0, 60_000, (24, 32)).astype(np.uint16)).save(packed, "PNG")
    yield ".png", packed.getvalue()


def _picture_seeds(folder: Path) -> None:
    for number, (suffix, data) in enumerate(_pictures()):
        clip = folder / f"clip{number}"
        clip.mkdir()
        for frame in range(3):
            (clip / f"img_{frame:05d}{suffix}").write_bytes(data)
    flow = folder / "flow"
    flow.mkdir()
    gray = dict(_pictures())[".jpg"]
    for frame in range(3):
        for axis in "xy":
            (flow / f"flow_{axis}_{frame:05d}.jpg").write_bytes(gray)


def _png(width: int, height: int, rows: int, mode: int = 2, raw: bytes | None = None) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    if raw is None:
        raw = bytes(rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def _hostile_pictures(folder: Path) -> None:
    number = itertools.count()

    def add(data: bytes, name: str = "img_00001.png", more: tuple[str, ...] = ()) -> Path:
        clip = folder / f"{next(number):03d}"
        clip.mkdir()
        for each in (name, *more):
            (clip / each).write_bytes(data)
        return clip

    small = _png(4, 4, 52)
    for width, height in (
        (30_000, 30_000),
        (2**31 - 1, 1),
        (2**31 - 1, 2**31 - 1),
        (0, 0),
        (12_000, 12_000),
        (9000, 9000),
        (200_000, 500),
    ):
        add(_png(width, height, 1000))
        add(_png(width, height, min(3 * width * height + height, 400_000_000)))
    for data in (
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0" + b"\xff" * 1000,
        b"BM" + b"\xff" * 100,
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"II*\0\xff\xff\xff\xff",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file\n",
        b"P6 99999 99999 255\n",
        b"#define x_width 99999\n#define x_height 99999\nstatic char x_bits[] = {",
    ):
        for suffix in ("png", "jpg", "bmp", "webp", "tif"):
            add(data, f"img_00001.{suffix}")
    text = b"tEXt" + b"a\0" + b"x" * 900_000
    add(small[:33] + struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text)) + small[33:])
    ztxt = b"zTXt" + b"a\0\0" + zlib.compress(bytes(300 * 2**20))
    add(small[:33] + struct.pack(">I", len(ztxt) - 4) + ztxt + struct.pack(">I", zlib.crc32(ztxt)) + small[33:])
    iccp = b"iCCP" + b"a\0\0" + zlib.compress(bytes(300 * 2**20))
    add(small[:33] + struct.pack(">I", len(iccp) - 4) + iccp + struct.pack(">I", zlib.crc32(iccp)) + small[33:])
    for names in (
        ("img_00001.png", "img_00003.png"),
        ("img_1.png", "img_01.png"),
        ("1.10.png", "1.9.png"),
        ("9" * 240 + ".png",),
        ("img_٣.png",),
        ("a\nb1.png",),
        ("\udcff1.png",),
        ("img_-1.png", "img_0.png"),
        ("{0}.png",),
        ("img_00001.png", "x_00001.png"),
        ("flow_x_00001.png",),
        ("%05d.png",),
    ):
        add(small, names[0], names[1:])
    many = add(small, "img_000001.png")
    for frame in range(2, 4000):
        (many / f"img_{frame:06d}.png").write_bytes(b"")
    for target in ("/dev/zero", "img_00001.png", "/etc/passwd"):
        clip = folder / f"{next(number):03d}"
        clip.mkdir()
        (clip / "img_00001.png").symlink_to(target)
    (folder / "empty").mkdir()
    mixed = add(small)
    (mixed / "img_00002.png").write_bytes(_png(5, 4, 64))
    nested = add(small)
    (nested / "img_00002.png").mkdir()


def read_pictures(path: Path, out: Path) -> None:
    """Read a folder of frames, and of flow, with and without templates."""
    from trishift.data.finding import find_clips
    from trishift.data.sources import open_clip, open_flow
    from trishift.errors import DataError

    problem = None
    for opener, template in ((open_clip, None), (open_clip, "*"), (open_flow, None)):
        try:
            with opener(path, template=template) as clip:
                clip.read(range(min(clip.num_frames, 4)))
        except DataError as error:
            problem = error
    try:
        find_clips(path)
    except DataError as error:
        problem = error
    if problem:
        raise problem


READERS = {
    "pictures": Reader(
        "folder of frames or flow", _picture_seeds, _hostile_pictures, read_pictures, seconds=10.0, megabytes=1000
    ),
}
