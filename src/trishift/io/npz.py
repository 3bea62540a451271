"""Npz files: written atomically, read without trust."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from trishift.errors import brief
from trishift.io.archives import open_entry
from trishift.io.atomic import write_atomically
from trishift.io.regular import check_regular
from trishift.io.shapes import num_elements

_INFLATION = 50  # of arrays in memory over bytes on disk


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = True) -> None:
    """Write arrays by name.

    Raises:
        OutputError: the file cannot be written.
    """
    content = io.BytesIO()  # in a full file, numpy would leave an archive open that fails again later
    (np.savez_compressed if compressed else np.savez)(content, **arrays)  # type: ignore[arg-type]
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def read_npz(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Read arrays by name.

    Raises:
        ValueError: the file is missing, damaged or not an npz file, lacks an array, contains objects, or would take far
            more memory than its size. The text is the reason in one short line.
    """
    try:
        _refuse_bombs(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[name] for name in names]
        for array in arrays:
            _check_characters(array)
    except Exception as error:  # damaged files fail in many ways
        raise ValueError(brief(error)) from None
    return arrays


def has_array(path: Path, name: str) -> bool:
    """Whether a file that `read_npz` accepts has an array of this name."""
    with zipfile.ZipFile(path) as archive:
        return f"{name}.npy" in archive.namelist()


def _refuse_bombs(path: Path) -> None:
    """Compare the declared sizes of the arrays with the size of the file."""
    size = check_regular(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > _INFLATION * size:
            raise ValueError("it unpacks to far more than its size")
        for entry in entries:  # numpy would set the memory aside that a header asks for
            with open_entry(archive, entry) as file:
                declared = _declared_bytes(file)
            if declared > entry.file_size:
                raise ValueError(f"{entry.filename} is truncated")


def _declared_bytes(file: IO[bytes]) -> int:
    """Size of an array according to its header."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an unknown version of numpy's format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return num_elements(shape) * dtype.itemsize


def _check_characters(text: np.ndarray) -> None:
    """Refuse numbers beyond Unicode, of which numpy makes invalid strings that fail wherever they are used."""
    if text.dtype.kind == "U" and text.nbytes:
        codes = np.frombuffer(text.astype(text.dtype.newbyteorder("=")).tobytes(), np.uint32)
        if codes.max() > sys.maxunicode:
            raise ValueError("its text has characters that do not exist")
