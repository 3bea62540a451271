"""The safetensors format: read with the `safetensors` package, written here.

The package replaces the given file by a temporary one with other permissions, and orders metadata randomly.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from safetensors import safe_open

from trishift.checkpoints.formats.stored import StoredTensor, reading
from trishift.errors import CheckpointError
from trishift.io.atomic import write_atomically
from trishift.io.shapes import num_elements

_MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation
_DTYPES = {"F": "float", "I": "int", "U": "uint"}
_CODES = {
    np.dtype(f"{kind}{bits}"): f"{letter}{bits}"
    for letter, kind in _DTYPES.items()
    for bits in (8, 16, 32, 64)
    if (letter, bits) != ("F", 8)
} | {np.dtype(bool): "BOOL", np.dtype(ml_dtypes.bfloat16): "BF16"}


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file starts with a safetensors header, even if the rest is missing."""
    return head[8:10] in (b'{"', b"{}") and struct.unpack("<Q", head[:8])[0] <= _MAX_HEADER


def open_safetensors(path: str | Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return the tensors of a file, not yet read, and its metadata.

    Raises:
        CheckpointError: the file is not safetensors, or damaged.
    """
    path = Path(path)
    with reading(path, "safetensors"):
        with path.open("rb"):
            pass  # clearer errors for missing and unreadable files than the package's
        file = safe_open(path, framework="numpy")
        return {name: _stored(path, file, name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_safetensors(
    path: str | Path, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of the wanted tensors and the metadata of a file; raises like `open_safetensors`."""
    stored, metadata = open_safetensors(path)
    return {name: tensor.read() for name, tensor in stored.items() if wanted(name)}, metadata


def _stored(path: Path, file: Any, name: str) -> StoredTensor:
    view = file.get_slice(name)
    kind = view.get_dtype()  # F32, BF16, BOOL ...

    def read() -> np.ndarray:
        with reading(path, "safetensors"):
            array: np.ndarray = file.get_tensor(name)
        return array.astype(np.float32) if kind == "BF16" else array

    num_elements(view.get_shape())
    dtype = {"BF16": "bfloat16", "BOOL": "bool"}.get(kind, _DTYPES.get(kind[0], kind[0]) + kind[1:])
    return StoredTensor(tuple(view.get_shape()), dtype, read)


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a file atomically; equal content yields equal bytes.

    Raises:
        CheckpointError: the format does not support the type of an array.
        OutputError: the file cannot be written.
    """
    for name, array in tensors.items():
        if _code(array) is None:
            raise CheckpointError(f"{path}: {name}: safetensors files cannot hold {array.dtype}; nothing was changed")
    order = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))  # keeps every array aligned
    header = _header({name: tensors[name] for name in order}, metadata)

    def write(file: BinaryIO) -> None:
        file.write(struct.pack("<Q", len(header)) + header)
        for name in order:
            little = tensors[name].astype(tensors[name].dtype.newbyteorder("<"), copy=False)
            file.write(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)

    write_atomically(path, write)


def _header(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return the JSON of the metadata and of each tensor's type, shape and offsets, padded to 8 bytes."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in tensors.items():
        start, end = end, end + array.nbytes
        entries[name] = {"dtype": _code(array), "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _code(array: np.ndarray) -> str | None:
    """Return the format's name for an array's type, regardless of byte order."""
    return _CODES.get(array.dtype.newbyteorder("="))
