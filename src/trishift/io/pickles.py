"""Reads untrusted pickles without executing them.

A pickle is a program that can call any function by name. This reader resolves names only through a short table of
harmless stand-ins. Configuration and logging objects that training frameworks store in checkpoints become inert
placeholders; any other name is an error.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, BinaryIO, ClassVar

import numpy as np

from trishift.errors import CheckpointError, shortened
from trishift.io.shapes import num_elements

_LONGEST_CODE = 8  # characters of a data type
_LONGEST_INTEGER = 256  # bytes
_COPIES = 4  # bytes that calls may copy, over bytes in the file; published files: below 2
_INERT_MODULES = ("argparse", "datetime", "mmaction", "mmcv", "mmengine", "pathlib", "torch.optim", "yacs")


class Inert:
    """Placeholder for an object whose class is not imported; accepts any call and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None:
        """Ignore an item of a list-like object."""

    def extend(self, items: Any) -> None:
        """Ignore items of a list-like object."""


_CALLS: ContextVar[dict[str, None] | None] = ContextVar("calls", default=None)
_MOST_CALLS, _LONGEST_VALUE = 100, 60


@contextmanager
def recorded_calls() -> Iterator[dict[str, None]]:
    """Record what pickles would import and call, and read on, instead of refusing them. Nothing is imported or called.

    Yields:
        Ordered texts such as `os.system` and `os.system('rm -r x')`, as keys; at most 100.
    """
    calls: dict[str, None] = {}
    token = _CALLS.set(calls)
    try:
        yield calls
    finally:
        _CALLS.reset(token)


class Foreign(Inert):
    """Placeholder for a function or class that no weights need; records how it would be called."""

    path = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Foreign:  # noqa: D102
        _record(f"{cls.path}({_shown(args)})")
        return super().__new__(cls)  # type: ignore[return-value]

    def __call__(self, *args: Any) -> Foreign:
        """Record a call of the result of a call."""
        _record(f"{self.path}(...)({_shown(args)})")
        return self


@lru_cache(maxsize=_MOST_CALLS)  # a class takes far more memory than its name in the file
def _foreign(path: str) -> type[Foreign]:
    return type("Foreign", (Foreign,), {"path": path})


def _record(call: str) -> None:
    calls = _CALLS.get()
    if calls is not None and len(calls) < _MOST_CALLS:
        calls.setdefault(call)


def _shown(values: tuple[Any, ...]) -> str:
    """Arguments as text; of large or nested ones, only that they exist."""
    return ", ".join(_shown_value(value) for value in values[:5])


def _shown_value(value: Any) -> str:
    if isinstance(value, str | bytes):
        return repr(value[:_LONGEST_VALUE])
    if isinstance(value, type) and issubclass(value, Foreign):
        return value.path
    return repr(value) if isinstance(value, float | bool | type(None)) else "..."


class PickledDtype:
    """Stand-in for numpy's dtype: a type code, and a byte order that is set afterwards."""

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or len(code) > _LONGEST_CODE:  # numpy also takes nested lists of fields
            raise ValueError("an array of an unknown type")
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biuf":
            raise ValueError(f"arrays of type {code!r} are not weights")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """Stand-in for numpy's ndarray; shares the bytes of the pickle."""

    def __init__(self, *_: Any) -> None:
        self.array = np.empty(0, np.float32)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, data = state
        if isinstance(data, str):  # written by Python 2
            data = data.encode("latin1")
        self.array = _array(data, kind, shape, "F" if fortran else "C")


def _array(data: Any, kind: PickledDtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    if len(data) != num_elements(shape) * kind.dtype.itemsize:
        raise ValueError("an array's data does not match its shape")
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order)  # type: ignore[call-overload, no-any-return]


def _frombuffer(data: Any, kind: PickledDtype, shape: tuple[int, ...], order: str) -> PickledArray:
    result = PickledArray()
    result.array = _array(data, kind, shape, order)
    return result


def _scalar(kind: PickledDtype, data: Any) -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, kind.dtype, 1)[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")  # protocol 2 stores bytes this way


def _byte_string(data: Any = b"", *_: Any) -> bytes:
    if not isinstance(data, bytes | str):  # bytes(10**12) would take all memory
        raise ValueError("bytes(number) is not allowed")
    return data.encode("latin1") if isinstance(data, str) else data


Table = Mapping[tuple[str, str], Callable[..., Any]]

_ATOMS = (str, bytes, int, float, bool, type(None))


def _check_keys(keys: Iterable[Any]) -> None:
    """Reject keys other than atoms and tuples of atoms.

    Pickled objects can be shared, so a few hundred bytes can encode a tuple with 2**60 leaves. Hashing it would never
    finish.
    """
    for key in keys:
        if not isinstance(key, _ATOMS) and not (isinstance(key, tuple) and all(isinstance(k, _ATOMS) for k in key)):
            raise ValueError("a dictionary key is neither text nor a number")


def _ordered_dict(items: Iterable[tuple[Any, Any]] = ()) -> OrderedDict[Any, Any]:
    items = list(items)
    _check_keys(key for key, _ in items)
    return OrderedDict(items)


def _set(items: Iterable[Any] = ()) -> set[Any]:
    items = list(items)
    _check_keys(items)
    return set(items)


_BUILTINS = ("builtins", "__builtin__")  # of Python 3 and 2
_PYTHON: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("_codecs", "encode"): _encode,
    **{(module, kind.__name__): kind for module in _BUILTINS for kind in (tuple, list)},
    **{(module, "dict"): _ordered_dict for module in _BUILTINS},
    **{(module, "set"): _set for module in _BUILTINS},
    **{(module, name): _byte_string for module in _BUILTINS for name in ("bytes", "bytearray")},
}
NUMPY: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): PickledArray for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}


class _Bounded(io.RawIOBase):
    """A file whose reads past the end fail before any memory is allocated."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        position = file.tell()
        self._left = self.size = file.seek(0, io.SEEK_END) - position
        file.seek(position)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._left:
            raise EOFError("it ends early")
        self._left -= size
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[:] = data
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        line = self._file.readline(10_000)  # names and numbers; longer lines are damage
        self._left -= len(line)
        return line


class _Unpickler(pickle._Unpickler):
    """The pure Python unpickler; the C version allocates memory for damaged memo indices."""

    def __init__(self, file: BinaryIO, table: Table, persistent_load: Callable[[Any], Any] | None) -> None:
        bounded = _Bounded(file)
        super().__init__(bounded, encoding="latin1")  # type: ignore[arg-type]
        self._table = {**_PYTHON, **table}
        self._persistent_load = persistent_load
        self._left = _COPIES * bounded.size

    def _charge(self, value: Any) -> None:
        """Limit copies in total: a few bytes can request another copy of a large shared object."""
        if isinstance(value, PickledArray):
            self._left -= value.array.nbytes
        elif isinstance(value, str | bytes | list | tuple | dict | set):
            self._left -= len(value)
        if self._left < 0:
            raise ValueError("it expands to far more than its size")

    def find_class(self, module: str, name: str) -> Any:
        known = self._table.get((module, name))
        if known is not None:
            return known
        if any(module == inert or module.startswith(inert + ".") for inert in _INERT_MODULES):
            return Inert
        if _CALLS.get() is not None:
            path = f"{module[:_LONGEST_VALUE]}.{name[:_LONGEST_VALUE]}"
            _record(path)
            return _foreign(path)
        full_name = shortened(f"{module}.{name}")
        raise CheckpointError(
            f"the file refers to {full_name}, which weights do not need; it was refused and no code was run "
            "(if you trust it, load it in its own framework and save only the state_dict)"
        )

    def load_build(self) -> None:
        """Set the state of a stand-in; that of an OrderedDict (`_metadata`) is not needed."""
        if type(self.stack[-2]) is OrderedDict:  # type: ignore[attr-defined]
            self.stack.pop()  # type: ignore[attr-defined]
            return
        if not isinstance(self.stack[-2], Inert | PickledArray | PickledDtype):  # type: ignore[attr-defined]
            raise ValueError("state is set on something that has none")
        super().load_build()  # type: ignore[misc]
        self._charge(self.stack[-1])  # type: ignore[attr-defined]

    def load_call(self, load: Callable[[pickle._Unpickler], None]) -> None:
        """Handle opcodes that call a function."""
        load(self)
        self._charge(self.stack[-1])  # type: ignore[attr-defined]

    def load_long4(self) -> None:
        """Read an integer; larger ones than hashes and counters only waste time."""
        size = int.from_bytes(self.read(4), "little", signed=True)  # type: ignore[attr-defined]
        if not 0 <= size <= _LONGEST_INTEGER:
            raise ValueError("an integer of too many digits")
        self.append(pickle.decode_long(self.read(size)))  # type: ignore[attr-defined]

    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])  # type: ignore[attr-defined]
        super().load_setitem()  # type: ignore[misc]

    def load_pairs(self, load: Callable[[pickle._Unpickler], None]) -> None:
        """Handle opcodes that close a list of keys and values."""
        _check_keys(self.stack[::2])  # type: ignore[attr-defined]
        load(self)

    def load_members(self, load: Callable[[pickle._Unpickler], None]) -> None:
        """Handle opcodes that close a list of set members."""
        _check_keys(self.stack)  # type: ignore[attr-defined]
        load(self)

    def load_bytearray8(self) -> None:
        """Read a byte array; the original sets its memory aside before it reads."""
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.LONG4[0]: load_long4,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        **{
            code: lambda self, load=pickle._Unpickler.dispatch[code]: self.load_call(load)
            for code in (pickle.REDUCE[0], pickle.NEWOBJ[0], pickle.NEWOBJ_EX[0], pickle.OBJ[0], pickle.INST[0])
        },
        pickle.SETITEM[0]: load_setitem,
        **{
            code: lambda self, load=pickle._Unpickler.dispatch[code]: self.load_pairs(load)
            for code in (pickle.SETITEMS[0], pickle.DICT[0])
        },
        **{
            code: lambda self, load=pickle._Unpickler.dispatch[code]: self.load_members(load)
            for code in (pickle.ADDITEMS[0], pickle.FROZENSET[0])
        },
    }

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent_load is None:
            raise ValueError("unexpected persistent object")
        return self._persistent_load(pid)


def unpickle(file: BinaryIO, table: Table, persistent_load: Callable[[Any], Any] | None = None) -> Any:
    """Unpickle one object from the current position of `file`, and leave the file just after it.

    Args:
        file: seekable.
        table: maps (module, name) to a stand-in, in addition to plain Python containers.
        persistent_load: resolves objects stored outside the pickle.

    Raises:
        CheckpointError: the pickle refers to a name that is not in the table. Other damage may raise any exception.
    """
    return _Unpickler(file, table, persistent_load).load()
