"""The safetensors format: a JSON header of names, types, shapes and offsets, then the raw bytes.

Read and written here rather than through the `safetensors` package in order to stream: neither direction holds
a second copy of the weights, bfloat16 (which numpy lacks) becomes float32, and every defect of a file has its message.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trishift.checkpoints.atomic import write_atomically
from trishift.checkpoints.formats.stored import StoredTensor, raw_bytes, read_array, reading, widen_bfloat16
from trishift.errors import CheckpointError

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation


def looks_like_safetensors(head: bytes) -> bool:
    """Whether the first bytes of a file are a safetensors header, be the rest there or not."""
    return head[8:10] in (b'{"', b"{}") and struct.unpack("<Q", head[:8])[0] <= _MAX_HEADER


def open_safetensors(path: str | Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors of a file, in file order and not yet read, and its metadata.

    Raises:
        CheckpointError: not a safetensors file, or a damaged one.
    """
    path = Path(path)
    with reading(path, "safetensors"):
        size = path.stat().st_size
        with path.open("rb") as file:
            header, start = _read_header(file, size)
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its metadata are not strings")
        return {name: _stored(path, entry, start, size) for name, entry in header.items()}, metadata


def read_safetensors(
    path: str | Path, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of the wanted tensors of a file, and its metadata; raises as `open_safetensors`."""
    stored, metadata = open_safetensors(path)
    return {name: tensor.read() for name, tensor in stored.items() if wanted(name)}, metadata


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    length = struct.unpack("<Q", file.read(8))[0]
    if length > min(size - 8, _MAX_HEADER):
        raise ValueError("its header is longer than the file")
    return json.loads(file.read(length)), 8 + length


def _stored(path: Path, entry: dict[str, Any], start: int, size: int) -> StoredTensor:
    kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)):
        raise ValueError("negative or fractional sizes")
    dtype = np.dtype("<u2") if kind == "BF16" else DTYPES[kind]
    count = math.prod(shape)
    if end - begin != count * dtype.itemsize or start + end > size:
        raise ValueError("its sizes do not fit the file")

    def read() -> np.ndarray:
        with reading(path, "safetensors"):
            array = read_array(path, start + begin, dtype, count).reshape(shape)
        return widen_bfloat16(array) if kind == "BF16" else array

    return StoredTensor(shape, "bfloat16" if kind == "BF16" else str(dtype), read)


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a file atomically, tensors in the given order.

    Raises:
        CheckpointError: a type that the format lacks, or the file cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, array in tensors.items():
        kind = _NAMES.get(array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype)
        if kind is None:
            raise CheckpointError(f"{path}: {name} has type {array.dtype}, which safetensors cannot hold")
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # tensors start aligned

    def write(file: BinaryIO) -> None:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for array in tensors.values():
            little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            file.write(raw_bytes(little))

    write_atomically(path, write)
