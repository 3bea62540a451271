"""Paddle's `.pdparams`, read and written without Paddle: a pickle of names and numpy arrays.

Paddle itself executes such pickles; here they are only parsed. Existing files hold arrays, `(parameter name, array)`
pairs (2.1 and later), arrays split into slices of 1 GiB (protocols 2 and 3), and pickles of Python 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trishift.checkpoints.containers import find_state_dict
from trishift.checkpoints.formats.stored import WeightFile, in_memory, raw_bytes, reading, widen_bfloat16
from trishift.errors import CheckpointError
from trishift.io.atomic import write_atomically
from trishift.io.pickle_writer import Call, Global, dump
from trishift.io.pickles import NUMPY, PickledArray, unpickle

_NAME_TABLE = "StructuredToParameterName@@"
_SLICES = "UnpackBigParamInfor@@"


def read_pdparams(path: Path) -> WeightFile:
    """Open a `.pdparams` file.

    Raises:
        CheckpointError: the file is damaged, has no weights, or is a pickle that would run code.
    """
    with reading(path, "Paddle .pdparams"), path.open("rb") as file:
        content = unpickle(file, NUMPY)
        if not isinstance(content, dict):
            raise CheckpointError(f"{path}: has no dictionary of tensors; save layer.state_dict()")
        slices = content.pop(_SLICES, {})
        content.pop(_NAME_TABLE, None)
        state = find_state_dict(content, lambda value: _array_of(value) is not None)
        if state is None:
            keys = ", ".join(map(str, content))[:200]
            raise CheckpointError(f"{path}: has no dictionary of tensors (keys: {keys})")
        arrays = {name: array for name, value in state.tensors.items() if (array := _array_of(value)) is not None}
        for name, parts in slices.items():
            whole = np.concatenate([arrays.pop(part) for part in parts["slices"]])
            arrays[name] = whole.reshape(parts["OriginShape"])
    tensors = {name: in_memory(array) for name, array in arrays.items()}
    return WeightFile(path, "Paddle .pdparams", tensors, state.extras, state.ignored)


def _array_of(value: Any) -> np.ndarray | None:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], PickledArray):
        value = value[1]
    if not isinstance(value, PickledArray):
        return None
    return widen_bfloat16(value.array) if value.array.dtype == np.uint16 else value.array


def _pickled_array(array: np.ndarray) -> Call:
    """Pickle an array like numpy 1; numpy 2 also reads it."""
    byte_order = "<" if array.dtype.itemsize > 1 else "|"
    state = (3, byte_order, None, None, None, -1, -1, 0)
    dtype = Call(Global("numpy", "dtype"), (array.dtype.str[1:], False, True), state)
    empty = (Global("numpy", "ndarray"), (0,), b"b")
    return Call(
        Global("numpy.core.multiarray", "_reconstruct"), empty, (1, array.shape, dtype, False, raw_bytes(array))
    )


def write_pdparams(path: str | Path, tensors: Mapping[str, np.ndarray], extras: Mapping[str, str]) -> None:
    """Write a file for `paddle.load`: one flat dictionary of tensors and of the strings in `extras`.

    Raises:
        OutputError: the file cannot be written.
    """

    def write(file: BinaryIO) -> None:
        dump(file, {**tensors, **extras}, 4, _pickled_array)

    write_atomically(path, write)
