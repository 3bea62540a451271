"""What every reader returns: named tensors that know their shape but are read from disk only when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trishift.errors import CheckpointError


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; `read` fetches it (a new or a shared read-only array)."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class WeightFile:
    """A file (or folder) of weights.

    Attributes:
        path: where it lies.
        format: what it is, for people: `PyTorch zip`, `MindSpore ckpt` ...
        tensors: name in the file to tensor, in file order.
        extras: what else the container holds and is plain: epoch, arch, accuracy, safetensors metadata.
        ignored: container entries that were not read (optimizer), name to reason.
    """

    path: Path
    format: str
    tensors: dict[str, StoredTensor]
    extras: dict[str, Any] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def in_memory(array: np.ndarray) -> StoredTensor:
    """A tensor that its reader has already."""
    return StoredTensor(array.shape, str(array.dtype), lambda: array)


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Bfloat16, given as its uint16 bits, as float32 (exact); numpy has no such type."""
    return (bits.astype("<u4") << np.uint32(16)).view("<f4")


def read_array(path: Path, offset: int, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """`count` numbers at a place of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        array = np.fromfile(file, dtype, count)
    if array.size != count:
        raise CheckpointError(f"{path}: ends early; copy or download it again")
    return array


def raw_bytes(array: np.ndarray) -> memoryview:
    """The numbers of an array, row by row, without a copy where they lie so."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


@contextmanager
def reading(path: Path, format: str) -> Iterator[None]:
    """Turn whatever goes wrong on a stranger's bytes into one clear line."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # damaged files fail in every conceivable way
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{path}: not a whole {format} file ({reason}); copy or download it again") from error
