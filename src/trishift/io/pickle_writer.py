"""A pickle writer that refers to framework functions without importing the framework."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np


@dataclass(frozen=True)
class Global:
    """A function or class by name."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """The result of calling a function, with `state` set on it afterwards."""

    function: Global
    arguments: tuple[Any, ...]
    state: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Persistent:
    """An object that is stored outside the pickle, under an id."""

    id: tuple[Any, ...]


def dump(file: BinaryIO, value: Any, protocol: int, array: Callable[[np.ndarray], Any]) -> None:
    """Pickle plain values, the nodes above, and arrays.

    Args:
        file: output.
        value: object to pickle.
        protocol: pickle protocol; bytes-like values need 4 and are written without a copy.
        array: converts each array to a picklable node.

    Raises:
        TypeError: `value` contains an object of another type.
    """
    file.write(pickle.PROTO + bytes([protocol]))
    _write(file, value, array)
    file.write(pickle.STOP)


def _write(file: BinaryIO, value: Any, array: Callable[[np.ndarray], Any]) -> None:
    def items(values: Any, *opcodes: bytes) -> None:
        for item in values:
            _write(file, item, array)
        file.write(b"".join(opcodes))

    if value is None or isinstance(value, bool):
        file.write({None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}[value])
    elif isinstance(value, int):
        encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        file.write(pickle.LONG1 + bytes([len(encoded)]) + encoded)
    elif isinstance(value, float):
        file.write(pickle.BINFLOAT + struct.pack(">d", value))
    elif isinstance(value, str):
        file.write(pickle.BINUNICODE + struct.pack("<I", len(value.encode())) + value.encode())
    elif isinstance(value, bytes | memoryview):
        file.write(pickle.BINBYTES8 + struct.pack("<Q", len(value)))
        file.write(value)
    elif isinstance(value, tuple):
        file.write(pickle.MARK)
        items(value, pickle.TUPLE)
    elif isinstance(value, list):
        file.write(pickle.EMPTY_LIST + pickle.MARK)
        items(value, pickle.APPENDS)
    elif isinstance(value, dict):
        file.write(pickle.EMPTY_DICT + pickle.MARK)
        items((part for pair in value.items() for part in pair), pickle.SETITEMS)
    elif isinstance(value, Global):
        file.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
    elif isinstance(value, Call):
        items((value.function, value.arguments), pickle.REDUCE)
        if value.state is not None:
            items((value.state,), pickle.BUILD)
    elif isinstance(value, Persistent):
        items((value.id,), pickle.BINPERSID)
    elif isinstance(value, np.ndarray):
        items((array(value),))
    else:
        raise TypeError(f"{type(value).__name__} cannot be stored")
