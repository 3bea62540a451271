"""PyTorch's files (`.pth`, `.pt`, `.pth.tar`), read and written without PyTorch.

Since 1.6 a file is a zip archive: `data.pkl`, a pickle in which tensors refer to storages, and one stored entry
`data/<key>` per storage. Older files are a sequence of pickles followed by the raw storages.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trishift.checkpoints.containers import find_state_dict
from trishift.checkpoints.formats.stored import (
    StoredTensor,
    WeightFile,
    in_memory,
    raw_bytes,
    read_array,
    reading,
    widen_bfloat16,
)
from trishift.errors import CheckpointError
from trishift.io.archives import read_entry
from trishift.io.atomic import write_atomically
from trishift.io.pickle_writer import Call, Global, Persistent, dump
from trishift.io.pickles import NUMPY, Inert, PickledArray, unpickle
from trishift.io.shapes import num_elements

LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle of a file before 1.6
_INFLATION = 50  # PyTorch does not compress; zip bombs do
_STORAGES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "BFloat16Storage": "<u2",
}


@dataclass(frozen=True)
class _StorageKind:
    """Stand-in for a class such as `torch.FloatStorage`."""

    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(_STORAGES[self.name])


@dataclass
class _Storage:
    """A flat array in the file; `read` is set once its offset is known."""

    kind: _StorageKind
    count: int
    read: Callable[[], np.ndarray] | None = None


def _rebuild_tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    """Build a view of a storage, which must lie inside it."""
    shape, strides, kind = tuple(shape), tuple(strides), storage.kind
    if len(shape) != len(strides) or type(offset) is not int or offset < 0:
        raise ValueError("a tensor with an impossible shape")
    num_elements(strides)  # as large as a shape at most
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if num_elements(shape) and last >= storage.count:
        raise ValueError("a tensor reaches beyond its storage")

    def read() -> np.ndarray:
        if storage.read is None:
            raise ValueError("a tensor without data")
        flat = storage.read()
        flat = widen_bfloat16(flat) if kind.name == "BFloat16Storage" else flat
        view = np.lib.stride_tricks.as_strided(flat[offset:], shape, [n * flat.itemsize for n in strides])
        if view.size < flat.size:
            view = view.copy()  # a view would keep all of the storage
        return np.ascontiguousarray(view).reshape(shape)

    dtype = "bfloat16" if kind.name == "BFloat16Storage" else str(kind.dtype)
    return StoredTensor(shape, dtype, read)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _rebuild_from_type(function: Callable[..., Any], kind: Any, arguments: tuple[Any, ...], state: Any) -> Any:
    return function(*arguments) if function in (_rebuild_tensor, _rebuild_parameter) else None


def _size(items: Any = ()) -> tuple[Any, ...]:
    return tuple(items)


class _Nothing(Inert):
    """Stand-in for devices, data types and memory formats."""


_DTYPE_NAMES = (
    "float32",
    "float",
    "float16",
    "half",
    "bfloat16",
    "float64",
    "double",
    "int64",
    "long",
    "int32",
    "bool",
)
_TABLE: dict[tuple[str, str], Any] = {
    **NUMPY,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("torch.nn.parameter", "Parameter"): _rebuild_parameter,
    ("torch", "Tensor"): _Nothing,
    ("torch", "Size"): _size,
    ("torch", "device"): _Nothing,
    ("torch.serialization", "_get_layout"): _Nothing,
    **{("torch", name): _Nothing for name in _DTYPE_NAMES},
    **{(module, name): _StorageKind(name) for module in ("torch", "torch.cuda") for name in _STORAGES},
}


def _declare_storage(pid: Any, storages: dict[str, _Storage]) -> _Storage:
    """Register the storage that a pickle refers to in `storages`, under its key."""
    label, kind, key, _, count, *view = pid
    if label != "storage" or not isinstance(kind, _StorageKind) or type(count) is not int or count < 0:
        raise ValueError("an unknown kind of storage")
    if not isinstance(key, str):  # text of other objects could be endless
        raise ValueError("a storage without a name")
    if view and view[0] is not None:
        raise ValueError("views of storages (PyTorch before 0.4) are not supported; save it again with a newer one")
    known = storages.setdefault(key, _Storage(kind, count))
    if (known.kind, known.count) != (kind, count):
        raise ValueError("two sizes for one storage")
    return known


def read_zip(path: Path) -> WeightFile:
    """Open a file of PyTorch 1.6 or later.

    Raises:
        CheckpointError: the file is damaged, has no weights, or is a pickle that would run code.
    """
    with reading(path, "PyTorch zip"), zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in entries.values()):
            raise CheckpointError(f"{path}: compressed in a way that PyTorch does not read; save it again")
        if sum(info.file_size for info in entries.values()) > _INFLATION * path.stat().st_size:
            raise CheckpointError(f"{path}: unpacks to far more than its size; this is not a weight file")
        pickled = next((name for name in entries if name.rpartition("/")[2] == "data.pkl"), None)
        if pickled is None:
            raise CheckpointError(f"{path}: a zip archive, but not of PyTorch (no data.pkl inside); unpack it first")
        root = pickled.removesuffix("data.pkl")
        if f"{root}constants.pkl" in entries:
            raise CheckpointError(f"{path}: a TorchScript program; save the state_dict of its model instead")
        if f"{root}byteorder" in entries and read_entry(archive, entries[f"{root}byteorder"]) == b"big":
            raise CheckpointError(f"{path}: written on a big-endian machine, which is not supported")
        storages: dict[str, _Storage] = {}
        content = unpickle(
            BytesIO(read_entry(archive, entries[pickled])), _TABLE, lambda pid: _declare_storage(pid, storages)
        )
        for key, storage in storages.items():
            info = entries[f"{root}data/{key}"]
            if info.file_size < storage.count * storage.kind.dtype.itemsize:
                raise ValueError(f"storage {key} is truncated")
            storage.read = _zip_entry_reader(path, info, storage)
    return _weight_file(path, "PyTorch zip", content)


def _zip_entry_reader(path: Path, info: zipfile.ZipInfo, storage: _Storage) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        with reading(path, "PyTorch zip"):
            data = _entry_bytes(path, info)
            if zlib.crc32(data.data) != info.CRC:
                raise ValueError(f"the checksum of {info.filename} is wrong")
            return data[: storage.count * storage.kind.dtype.itemsize].view(storage.kind.dtype)

    return read


def _entry_bytes(path: Path, info: zipfile.ZipInfo) -> np.ndarray:
    """Read the content of a zip entry; an uncompressed one (like PyTorch's) is read directly."""
    if info.compress_type != zipfile.ZIP_STORED:
        with zipfile.ZipFile(path) as archive:
            return np.frombuffer(read_entry(archive, info), np.uint8)
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # lengths of the name and the extra field after the header
        name, extra = struct.unpack("<HH", file.read(4))
    return read_array(path, info.header_offset + 30 + name + extra, np.dtype(np.uint8), info.file_size)


def read_legacy(path: Path) -> WeightFile:
    """Open a file of PyTorch 0.x to 1.5; raises like `read_zip`."""
    storages: dict[str, _Storage] = {}
    with reading(path, "PyTorch (legacy)"), path.open("rb") as file:
        for _ in range(3):  # magic number, protocol version, sizes of types
            unpickle(file, {})
        content = unpickle(file, _TABLE, lambda pid: _declare_storage(pid, storages))
        keys = unpickle(file, {})
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError("its list of storages is damaged")  # hashing a shared tuple would never finish
        end = path.stat().st_size
        for key in keys:
            storage = storages[key]
            count = struct.unpack("<q", file.read(8))[0]
            place = file.tell()
            if count != storage.count or place + count * storage.kind.dtype.itemsize > end:
                raise ValueError("it ends early")
            storage.read = _place_reader(path, place, storage)
            file.seek(place + count * storage.kind.dtype.itemsize)
        if any(storage.read is None for storage in storages.values()):
            raise ValueError("tensors without data")
    return _weight_file(path, "PyTorch (legacy)", content)


def _place_reader(path: Path, place: int, storage: _Storage) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        with reading(path, "PyTorch (legacy)"):
            return read_array(path, place, storage.kind.dtype, storage.count)

    return read


def _weight_file(path: Path, format: str, content: Any) -> WeightFile:
    """Find the state dict in the saved object: the object itself, or a dictionary inside it."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: has no dictionary of tensors; save model.state_dict() instead of the model")
    state = find_state_dict(content, lambda value: isinstance(value, StoredTensor | PickledArray))
    if state is None:
        raise CheckpointError(f"{path}: has no dictionary of tensors (keys: {', '.join(map(str, content))[:200]})")
    tensors = {
        name: value if isinstance(value, StoredTensor) else in_memory(value.array)
        for name, value in state.tensors.items()
    }
    return WeightFile(path, format, tensors, state.extras, state.ignored)


class _Storages(dict[str, np.ndarray]):
    """The arrays of a file by the keys of their storages."""

    def add(self, array: np.ndarray) -> Call:
        """Add an array and return its entry for the pickle."""
        kind = next((name for name, code in _STORAGES.items() if np.dtype(code) == array.dtype), None)
        if kind is None or kind == "BFloat16Storage":
            raise CheckpointError(f"PyTorch files cannot hold tensors of type {array.dtype}")
        key = str(len(self))
        self[key] = array
        storage = Persistent(("storage", Global("torch", kind), key, "cpu", array.size))
        strides = tuple(math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim))
        hooks = Call(Global("collections", "OrderedDict"), ())
        return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, array.shape, strides, False, hooks))


def write_pytorch(
    path: str | Path, tensors: Mapping[str, np.ndarray], extras: Mapping[str, Any], container: str | None = "state_dict"
) -> None:
    """Write `{**extras, container: tensors}`, or all in one dictionary, which `torch.load(weights_only=True)` reads.

    Raises:
        CheckpointError: PyTorch lacks the type of an array.
        OutputError: the file cannot be written.
    """
    content = {**extras, **({container: dict(tensors)} if container else tensors)}

    def write(file: BinaryIO) -> None:
        pickled, storages = BytesIO(), _Storages()
        dump(pickled, content, 2, storages.add)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickled.getvalue())
            archive.writestr(zipfile.ZipInfo("archive/byteorder"), "little")
            for key, array in storages.items():
                with archive.open(f"archive/data/{key}", "w", force_zip64=array.nbytes > 2**31) as entry:
                    entry.write(raw_bytes(array))
            archive.writestr(zipfile.ZipInfo("archive/version"), "3\n")

    write_atomically(path, write)
