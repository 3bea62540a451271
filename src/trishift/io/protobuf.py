"""The subset of protocol buffers in MindSpore and Paddle files: numbered fields, varints and byte strings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

VARINT, BYTES = 0, 2  # wire types


def read_varint(file: BinaryIO) -> int:
    """Read an unsigned number of up to 64 bits: seven bits per byte, least significant first."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number of more than 64 bits")


def fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, wire type, value) for each field of a message that ends at offset `end`.

    The value of a byte string is its length, with `file` at its first byte. The consumer may read any part of it.
    """
    while file.tell() < end:
        key = read_varint(file)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            yield number, wire, read_varint(file)
        elif wire == BYTES:
            length = read_varint(file)
            start = file.tell()
            if start + length > end:
                raise ValueError("it ends early")
            yield number, wire, length
            file.seek(start + length)
        else:
            raise ValueError(f"unexpected wire type {wire}")


def encode_varint(value: int) -> bytes:
    """The inverse of `read_varint`."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def varint_field(number: int, value: int) -> bytes:
    """Encode a number as a field."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def bytes_field(number: int, content: bytes | int) -> bytes:
    """Encode bytes as a field; given only their length, return just the header."""
    length = content if isinstance(content, int) else len(content)
    return encode_varint(number << 3 | BYTES) + encode_varint(length) + (b"" if isinstance(content, int) else content)
