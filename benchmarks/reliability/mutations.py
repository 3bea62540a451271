"""Random damage to valid files: flipped bits, cuts, splices, repetitions, extreme numbers and special tokens."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 2**20  # of a mutated file
TOKENS = (
    *(
        b"\0",
        b"\r",
        b"\n",
        b"\x1b[31m",
        b"\x80",
        b"\xff\xfe",
        "\u2028\u202e".encode(),
        b"\xef\xbb\xbf",
        b"'",
        b'"',
        b"#",
    ),
    *(b"nan", b"inf", b"-1", b"1e999", b"0x" + b"f" * 5000, b"9" * 5000, b"-0", b"null", b"true", b"{}", b"[]", b"''"),
    *(
        b"[" * 3000,
        b"{" * 3000,
        b"(" * 3000,
        b"&a [*a]",
        b"<<: *a",
        b"!!python/object/apply:os.system [x]",
        b"? ",
        b"- ",
    ),
    *(
        b"../",
        b"/dev/zero",
        b"/etc/passwd",
        b"C:\\",
        b"a" * 70_000,
        b" " * 5000,
        b" 1" * 5000,
        b",1" * 5000,
        b"%s{}{0}",
    ),
    *(
        b"cos\nsystem\n",
        b"R",
        b"\x85R",
        b"b",
        b"o",
        b"\x93",
        b"(",
        b"\x94",
        b"h\0",
        b"\x8a\xff",
        b"2",
        b"0",
        b"}",
        b"t",
    ),
)
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1)


def mutate(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Damage a file in one to six places.

    Args:
        data: a valid file.
        rng: makes every choice.
        other: another valid file, a source of splices.

    Returns:
        At most `MAX_BYTES` bytes.
    """
    if data.startswith(b"PK") and rng.random() < 0.6:
        inner = _mutate_zip(data, rng, other)
        if inner is not None:
            return inner[:MAX_BYTES]
    if data.startswith(b"\x1f\x8b") and rng.random() < 0.8:
        with suppress(EOFError, zlib.error, OSError):  # the first part of a file
            return gzip.compress(mutate(gzip.decompress(data), rng, other), 1)[:MAX_BYTES]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(_CHANGES)(data, rng, other)[:MAX_BYTES]
    return data


def _mutate_zip(data: bytes, rng: random.Random, other: bytes) -> bytes | None:
    """Damage an entry of a zip archive, or its name, and pack it again with a matching checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError):
        return None
    if not entries:
        return None
    chosen = min(entries, key=lambda name: rng.random() * (1 + len(entries[name])))  # prefer small ones: descriptions
    if rng.random() < 0.1:
        entries[rng.choice(["../out", "/abs", "a" * 300, "", chosen + "/x", "data.pkl"])] = entries.pop(chosen)
    else:
        entries[chosen] = mutate(entries[chosen], rng, other)
    packed, usual, rare = io.BytesIO(), rng.choice((0, 0, 8)), rng.choice((0, 8, 12, 14))
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)  # accepts an empty name
            info.compress_type = rare if name == chosen else usual
            with archive.open(info, "w") as file:
                file.write(content)
    return packed.getvalue()


def _place(data: bytes, rng: random.Random) -> int:
    """A random offset; small ones are preferred, because headers are at the beginning."""
    return int(len(data) * (rng.random() ** rng.choice((1, 1, 3))))


def _flip(data: bytes, rng: random.Random, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 32)) if data else 0):
        changed[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 4, 16))) + data[at + 4 :]


def _cut(data: bytes, rng: random.Random, other: bytes) -> bytes:
    return data[: _place(data, rng)]


def _remove(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + rng.choice((1, 2, 8, 64, 1000)) :]


def _splice(data: bytes, rng: random.Random, other: bytes) -> bytes:
    return data[: _place(data, rng)] + other[_place(other, rng) :]


def _insert_block(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at, start = _place(data, rng), _place(other, rng)
    return data[:at] + other[start : start + rng.choice((4, 32, 256))] + data[at:]


def _repeat(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at, size = _place(data, rng), rng.choice((1, 4, 16, 128, 1024))
    return data[:at] + data[at : at + size] * rng.choice((2, 10, 100, 1000)) + data[at:]


def _swap(data: bytes, rng: random.Random, other: bytes) -> bytes:
    first, second = sorted((_place(data, rng), _place(data, rng)))
    size = min(rng.choice((1, 8, 64)), second - first)
    middle = data[first + size : second]
    return data[:first] + data[second : second + size] + middle + data[first : first + size] + data[second + size :]


def _number(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Overwrite 1, 2, 4 or 8 bytes with an extreme number."""
    size, order = rng.choice((1, 2, 4, 8)), rng.choice("<>")
    value = rng.choice(_NUMBERS) & (2 ** (8 * size) - 1)
    at = _place(data, rng)
    return data[:at] + struct.pack(f"{order}{'BHxIxxxQ'[size - 1]}", value) + data[at + size :]


def _token(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.choice(TOKENS) + data[at + rng.choice((0, 0, 1, 8)) :]


_CHANGES: tuple[Callable[[bytes, random.Random, bytes], bytes], ...] = (
    *(
        _flip,
        _flip,
        _overwrite,
        _cut,
        _remove,
        _splice,
        _insert_block,
        _repeat,
        _swap,
        _number,
        _number,
        _token,
        _token,
    ),
)


def write_mutated(seed: Path, target: Path, rng: random.Random, others: list[Path]) -> None:
    """Write a damaged copy of a file; of a folder, one file is damaged, and sometimes files are lost or renamed."""
    other = rng.choice(others).read_bytes() if others else b""
    if seed.is_file():
        target.write_bytes(mutate(seed.read_bytes(), rng, other))
        return
    files = sorted(path for path in seed.rglob("*") if path.is_file())
    damaged = rng.choice(files)
    for path in files:
        name = path.relative_to(seed)
        if rng.random() < 0.02 and len(files) > 1 and path != damaged:
            continue
        if rng.random() < 0.01:
            name = name.with_name(rng.choice(["x", "img_99999.jpg", ".hidden", "a\nb", "\udcff", "0" * 200]))
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(mutate(path.read_bytes(), rng, other) if path == damaged else path.read_bytes())
