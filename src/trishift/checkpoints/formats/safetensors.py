"""The safetensors format, through the `safetensors` package."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (teaches numpy bfloat16, which the package hands out)
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from trishift.checkpoints.formats.stored import StoredTensor, reading
from trishift.errors import CheckpointError
from trishift.io.atomic import write_atomically

_MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation
_DTYPES = {"F": "float", "I": "int", "U": "uint"}


def looks_like_safetensors(head: bytes) -> bool:
    """Whether the first bytes of a file are a safetensors header, be the rest there or not."""
    return head[8:10] in (b'{"', b"{}") and struct.unpack("<Q", head[:8])[0] <= _MAX_HEADER


def open_safetensors(path: str | Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors of a file, not yet read, and its metadata.

    Raises:
        CheckpointError: not a safetensors file, or a damaged one.
    """
    path = Path(path)
    with reading(path, "safetensors"):
        with path.open("rb"):
            pass  # the package's own words for a missing or forbidden file are less clear
        file = safe_open(path, framework="numpy")
        return {name: _stored(path, file, name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_safetensors(
    path: str | Path, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of the wanted tensors of a file, and its metadata; raises as `open_safetensors`."""
    stored, metadata = open_safetensors(path)
    return {name: tensor.read() for name, tensor in stored.items() if wanted(name)}, metadata


def _stored(path: Path, file: Any, name: str) -> StoredTensor:
    view = file.get_slice(name)
    kind = view.get_dtype()  # F32, BF16, BOOL ...

    def read() -> np.ndarray:
        with reading(path, "safetensors"):
            array: np.ndarray = file.get_tensor(name)
        return array.astype(np.float32) if kind == "BF16" else array

    dtype = {"BF16": "bfloat16", "BOOL": "bool"}.get(kind, _DTYPES.get(kind[0], kind[0]) + kind[1:])
    return StoredTensor(tuple(view.get_shape()), dtype, read)


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a file atomically.

    Raises:
        CheckpointError: a type that the format lacks, or the file cannot be written.
    """
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    try:
        write_atomically(path, lambda file: save_file(arrays, file.name, dict(metadata) or None))
    except (SafetensorError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error}); nothing was changed") from None
