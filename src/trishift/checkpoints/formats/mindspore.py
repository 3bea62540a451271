"""MindSpore's `.ckpt`, read and written without MindSpore.

The file is a protocol buffer: `Checkpoint {repeated Value value = 1}`, `Value {string tag = 1; TensorProto tensor
= 2}`, `TensorProto {repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3}`. A tensor of more
than 512 MiB is split into several values with the same tag; dims [0] means a scalar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trishift.checkpoints.formats.stored import (
    StoredTensor,
    WeightFile,
    raw_bytes,
    read_array,
    reading,
    widen_bfloat16,
)
from trishift.errors import CheckpointError
from trishift.io import protobuf
from trishift.io.atomic import write_atomically
from trishift.io.shapes import num_elements

_SLICE = 512 * 2**20  # bytes of a tensor in one value
_CHECKSUM = b"crc_num"  # trailer of files saved with crc_check=True
_DTYPES: dict[str, np.dtype[Any]] = {
    "Float64": np.dtype("<f8"),
    "Float32": np.dtype("<f4"),
    "Float16": np.dtype("<f2"),
    "BFloat16": np.dtype("<u2"),
    "Int64": np.dtype("<i8"),
    "Int32": np.dtype("<i4"),
    "Int16": np.dtype("<i2"),
    "Int8": np.dtype("i1"),
    "UInt64": np.dtype("<u8"),
    "UInt32": np.dtype("<u4"),
    "UInt16": np.dtype("<u2"),
    "UInt8": np.dtype("u1"),
    "Bool": np.dtype("?"),
}


@dataclass
class _Entry:
    """A tensor being assembled from its values."""

    type: str = ""
    shape: tuple[int, ...] = ()
    pieces: list[tuple[int, int]] = field(default_factory=list)  # offset, length


def looks_like_ckpt(head: bytes) -> bool:
    """Whether a file starts like a checkpoint message with a tag."""
    return head[:1] == b"\x0a" and b"\x0a" in head[2:8]


def read_ckpt(path: Path) -> WeightFile:
    """Open a `.ckpt` file.

    Raises:
        CheckpointError: the file is damaged or contains unsupported values (map parameters).
    """
    with reading(path, "MindSpore .ckpt"), path.open("rb") as file:
        entries = _scan(file, path.stat().st_size)
        tensors = {name: _stored(path, entry) for name, entry in entries.items() if entry.type != "str"}
        extras = {name: _text(path, entry) for name, entry in entries.items() if entry.type == "str"}
        if not tensors:
            raise ValueError("no tensors inside")
        return WeightFile(path, "MindSpore .ckpt", tensors, extras)


def _scan(file: BinaryIO, end: int) -> dict[str, _Entry]:
    if file.seek(max(0, end - len(_CHECKSUM) - 10)) and file.read(len(_CHECKSUM)) == _CHECKSUM:
        end -= len(_CHECKSUM) + 10
    file.seek(0)
    entries: dict[str, _Entry] = {}
    for number, wire, length in protobuf.fields(file, end):
        if (number, wire) != (1, protobuf.BYTES):
            raise ValueError(f"unknown field {number}")
        _scan_value(file, file.tell() + length, entries)
    return entries


def _scan_value(file: BinaryIO, end: int, entries: dict[str, _Entry]) -> None:
    name = ""
    for number, _, length in protobuf.fields(file, end):
        if number == 1:
            name = file.read(length).decode()
        elif number == 2:
            _scan_tensor(file, file.tell() + length, entries.setdefault(name, _Entry()))
        else:
            raise ValueError("map parameters are not supported")


def _scan_tensor(file: BinaryIO, end: int, entry: _Entry) -> None:
    shape: list[int] = []
    for number, wire, value in protobuf.fields(file, end):
        if number == 1 and wire == protobuf.VARINT:
            shape.append(value)
        elif number == 1:
            stop = file.tell() + value
            while file.tell() < stop:
                shape.append(protobuf.read_varint(file))
        elif number == 2:
            entry.type = file.read(value).decode()
        elif number == 3:
            entry.pieces.append((file.tell(), value))
    entry.shape = () if shape == [0] else tuple(shape)


def _stored(path: Path, entry: _Entry) -> StoredTensor:
    dtype = _DTYPES[entry.type]
    if sum(length for _, length in entry.pieces) != num_elements(entry.shape) * dtype.itemsize:
        raise ValueError("a tensor's data does not match its shape")

    def read() -> np.ndarray:
        with reading(path, "MindSpore .ckpt"):
            pieces = [read_array(path, offset, dtype, length // dtype.itemsize) for offset, length in entry.pieces]
            array = (pieces[0] if len(pieces) == 1 else np.concatenate(pieces)).reshape(entry.shape)
        return widen_bfloat16(array) if entry.type == "BFloat16" else array

    return StoredTensor(entry.shape, "bfloat16" if entry.type == "BFloat16" else str(dtype), read)


def _text(path: Path, entry: _Entry) -> str:
    """Decode a string, stored as in numpy: four bytes per character."""
    pieces = [read_array(path, offset, np.dtype("u1"), length).tobytes() for offset, length in entry.pieces]
    return b"".join(pieces).decode("utf-32-le").rstrip("\0")


def write_ckpt(path: str | Path, tensors: Mapping[str, np.ndarray], extras: Mapping[str, str]) -> None:
    """Write a file for `mindspore.load_checkpoint`; `extras` are its `append_dict` strings.

    Raises:
        CheckpointError: MindSpore lacks the type of an array.
        OutputError: the file cannot be written.
    """
    names = {dtype: name for name, dtype in _DTYPES.items() if name != "BFloat16"}

    def write(file: BinaryIO) -> None:
        for name, array in tensors.items():
            if array.dtype not in names:
                raise CheckpointError(f"{path}: {name} has type {array.dtype}, which MindSpore files cannot hold")
            data = np.frombuffer(raw_bytes(array), np.uint8)
            for start in range(0, max(data.size, 1), _SLICE):
                _write_value(file, name, array.shape, names[array.dtype], data[start : start + _SLICE])
        for name, text in extras.items():
            _write_value(file, name, (0,), "str", np.frombuffer(text.encode("utf-32-le"), np.uint8))

    write_atomically(path, write)


def _write_value(file: BinaryIO, name: str, shape: tuple[int, ...], kind: str, data: np.ndarray) -> None:
    dims = b"".join(protobuf.varint_field(1, n) for n in shape)
    tensor = dims + protobuf.bytes_field(2, kind.encode()) + protobuf.bytes_field(3, data.size)
    value = protobuf.bytes_field(1, name.encode()) + protobuf.bytes_field(2, len(tensor) + data.size)
    file.write(protobuf.bytes_field(1, len(value) + len(tensor) + data.size) + value + tensor)
    file.write(data.data)
