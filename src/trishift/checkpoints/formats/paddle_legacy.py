"""Folders of Paddle 1.x (fluid): one binary file per variable, with the variable's name.

Layout: uint32 0; uint64 number of LoD levels, each with its size in bytes and content; uint32 0; int32 length of
a protocol buffer `TensorDesc {type = 1; repeated int64 dims = 2}`; the raw numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trishift.checkpoints.formats.stored import StoredTensor, WeightFile, read_array, reading
from trishift.errors import CheckpointError
from trishift.io import protobuf
from trishift.io.atomic import staged
from trishift.io.shapes import num_elements
from trishift.io.wording import counted, shown_first

_MOST_LEVELS = 16
_DTYPES: dict[int, np.dtype[Any]] = {  # VarType.Type of Paddle's framework.proto
    0: np.dtype("?"),
    1: np.dtype("<i2"),
    2: np.dtype("<i4"),
    3: np.dtype("<i8"),
    4: np.dtype("<f2"),
    5: np.dtype("<f4"),
    6: np.dtype("<f8"),
    20: np.dtype("u1"),
    21: np.dtype("i1"),
}


def read_folder(path: Path) -> WeightFile:
    """Open a folder of variables; other files (the program `__model__`) are skipped.

    Raises:
        CheckpointError: the folder has no variables, or one is damaged.
    """
    tensors, ignored = {}, {}
    with reading(path, "Paddle 1.x folder"):
        files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    if not any(file.name.startswith("__") or _looks_like_variable(file) for file in files):
        raise CheckpointError(_other_folder(path))
    for file in files:
        if file.name.startswith("__"):
            ignored[file.name] = "a program, not a variable"
        else:
            with reading(file, "Paddle 1.x variable"):
                tensors[file.name] = _open_variable(file)
    if not tensors:
        raise CheckpointError(_other_folder(path))
    return WeightFile(path, "Paddle 1.x folder", tensors, {}, ignored)


def _looks_like_variable(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            version, levels = struct.unpack("<IQ", file.read(12))
    except (OSError, struct.error):
        return False
    return version == 0 and levels <= _MOST_LEVELS


def _other_folder(path: Path) -> str:
    """The error about a folder that holds no weights: what it holds, and what was expected."""
    entries = sorted(path.iterdir())
    folders = sum(entry.is_dir() for entry in entries)
    counts = [(folders, "folder"), (len(entries) - folders, "file")]
    held = " and ".join(counted(number, noun) for number, noun in counts if number)
    names = shown_first([entry.name for entry in entries], 3)
    return (
        f"{path}: holds {f'{held} ({names}), none of them weights' if held else 'nothing'}; expected a weight file, "
        "a run folder (with best.safetensors or last.safetensors), or a Paddle 1.x folder (one file per variable)"
    )


def _open_variable(path: Path) -> StoredTensor:
    size = path.stat().st_size
    with path.open("rb") as file:
        version, levels = struct.unpack("<IQ", file.read(12))
        if version != 0 or levels > _MOST_LEVELS:
            raise ValueError("not a variable of Paddle 1.x")
        for _ in range(levels):
            file.seek(struct.unpack("<Q", file.read(8))[0], 1)
        version, length = struct.unpack("<Ii", file.read(8))
        start = file.tell() + length
        if version != 0 or not 0 < length <= min(1000, size):
            raise ValueError("not a variable of Paddle 1.x")
        dtype, shape = None, []
        for number, wire, value in protobuf.fields(file, start):
            if number == 1:
                dtype = _DTYPES.get(value)
            elif number == 2 and wire == protobuf.VARINT:
                shape.append(value)
    if dtype is None:
        raise ValueError("its type is not supported")
    if start + num_elements(shape) * dtype.itemsize != size:
        raise ValueError("its data does not match its shape")

    def read() -> np.ndarray:
        with reading(path, "Paddle 1.x variable"):
            return read_array(path, start, dtype, num_elements(shape)).reshape(shape)

    return StoredTensor(tuple(shape), str(dtype), read)


def write_folder(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write one file per variable into a new folder, atomically.

    Raises:
        CheckpointError: the folder exists.
        OutputError: the folder cannot be written.
    """
    codes = {dtype: code for code, dtype in _DTYPES.items()}
    if path.exists():
        raise CheckpointError(f"{path}: already exists; choose another folder")
    with staged(path) as folder:
        folder.mkdir()
        for name, array in tensors.items():
            description = protobuf.varint_field(1, codes[array.dtype])
            description += b"".join(protobuf.varint_field(2, n) for n in array.shape)
            head = struct.pack("<IQIi", 0, 0, 0, len(description)) + description
            (folder / name).write_bytes(head + np.ascontiguousarray(array).tobytes())
