"""The common result of every reader: named tensors with known shapes, read from disk on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trishift.errors import CheckpointError, brief
from trishift.io.wording import unreadable


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; `read` loads it (as a new or a shared read-only array)."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class WeightFile:
    """A file (or folder) of weights.

    Attributes:
        path: the file or folder.
        format: format for display: `PyTorch zip`, `MindSpore ckpt` ...
        tensors: name in the file to tensor, in file order.
        extras: other plain entries of the container: epoch, arch, accuracy, safetensors metadata.
        ignored: unread container entries (optimizer), name to reason.
    """

    path: Path
    format: str
    tensors: dict[str, StoredTensor]
    extras: dict[str, Any] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def in_memory(array: np.ndarray) -> StoredTensor:
    """Wrap an array that is already in memory."""
    return StoredTensor(array.shape, str(array.dtype), lambda: array)


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Convert bfloat16, given as uint16 bits, to float32 (exact); numpy has no such type."""
    return (bits.astype("<u4") << np.uint32(16)).view("<f4")


def guarded(file: WeightFile) -> WeightFile:
    """The same file, with tensors whose `read` raises nothing but CheckpointErrors."""

    def read(tensor: StoredTensor) -> np.ndarray:
        with reading(file.path, file.format):
            return tensor.read()

    tensors = {name: replace(tensor, read=partial(read, tensor)) for name, tensor in file.tensors.items()}
    return replace(file, tensors=tensors)


def read_array(path: Path, offset: int, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """Read `count` numbers at an offset of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        array = np.fromfile(file, dtype, count)
    if array.size != count:
        raise CheckpointError(f"{path}: ends early; copy or download it again")
    return array


def raw_bytes(array: np.ndarray) -> memoryview:
    """Return an array's bytes in row-major order, without a copy if it is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


@contextmanager
def reading(path: Path, format: str) -> Iterator[None]:
    """Turn any failure on untrusted bytes into a one-line error."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(unreadable(path, error)) from error
    except RecursionError as error:
        raise CheckpointError(f"{path}: not a complete {format} file (nested too deeply)") from error
    except Exception as error:  # damaged files fail in many ways
        raise CheckpointError(
            f"{path}: not a complete {format} file ({brief(error)}); copy or download it again"
        ) from error
