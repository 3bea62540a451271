"""Hostile weight files: pickles that would run code, and small files that would take hours or gigabytes."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trishift.checkpoints import inspect_weights
from trishift.checkpoints.files import open_weights
from trishift.checkpoints.formats.paddle_legacy import write_folder
from trishift.checkpoints.formats.pytorch import LEGACY_MAGIC
from trishift.errors import CheckpointError
from trishift.io.protobuf import bytes_field, varint_field


class Evil:
    """Runs a command when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


class Sly(Evil):
    """Does the same through builtins."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('pathlib').Path({str(self.marker)!r}).touch()",)


@pytest.mark.parametrize("evil", [Evil, Sly])
@pytest.mark.parametrize("kind", ["zip", "legacy", "pdparams"])
def test_malicious_pickle_is_not_executed(kind: str, evil: type[Evil], tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "weights"
    state = {"a": torch.ones(2), "b": evil(marker)}
    if kind == "pdparams":
        path.write_bytes(pickle.dumps({"a": np.ones(2), "b": evil(marker)}, 2))
        (pickle.loads(path.read_bytes()), marker.unlink())  # the attack works when unpickled
    else:
        torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(CheckpointError, match="refused") as error:
        open_weights(path)
    assert "\n" not in str(error.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cbuiltins\ngetattr\n(cos\nX\x06\x00\x00\x00system\x86R.",
        b"\x80\x02(S'touch ran'\nios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\nS'touch ran'\no.",  # OBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",  # STACK_GLOBAL
        b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aNsb.",  # state for a class
        b"\x80\x02ctorch.hub\nload\nX\x01\x00\x00\x00a\x85R.",
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x02r\xff\xff\xff\xff.",  # a memo of 16 GiB
        b"\x80\x02B\xff\xff\xff\xff.",  # a string of 4 GiB
        b"\x80\x04\x96\xff\xff\xff\xff\x10\x00\x00\x00.",  # a bytearray of 68 GiB
        b"\x80\x02\x8b\x00\x00\x10\x00" + b"\x7f" * 2**20 + b".",  # an integer of a million bytes
        b"\x80\x02ctorch\nFloatStorage\n}X\x04\x00\x00\x00nameX\x0c\x00\x00\x00HalfStorage0sb.",  # renames a type
    ],
)
def test_hostile_programs_have_no_effect(program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("evil.pth", "w") as archive:
        archive.writestr("archive/data.pkl", program)
    Path("evil.pdparams").write_bytes(program)
    for name in ("evil.pth", "evil.pdparams"):
        with pytest.raises(CheckpointError):
            open_weights(name)
    assert not Path("ran").exists()


SHARED_60_LEVELS = b"K\x01\x85" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))  # a tuple of 2**60 leaves


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02}" + SHARED_60_LEVELS + b"K\x01s.",  # SETITEM
        b"\x80\x02}(" + SHARED_60_LEVELS + b"K\x01u.",  # SETITEMS
        b"\x80\x02(" + SHARED_60_LEVELS + b"K\x01d.",  # DICT
        b"\x80\x04\x8f(" + SHARED_60_LEVELS + b"\x90.",  # ADDITEMS
        b"\x80\x04(" + SHARED_60_LEVELS + b"\x91.",  # FROZENSET
        b"\x80\x02cbuiltins\nset\n(" + SHARED_60_LEVELS + b"l\x85R.",  # set([...])
        b"\x80\x02cbuiltins\ndict\n((" + SHARED_60_LEVELS + b"K\x01tl\x85R.",  # dict([(key, 1)])
        b"\x80\x02ccollections\nOrderedDict\n((" + SHARED_60_LEVELS + b"K\x01tl\x85R.",
    ],
    ids=["setitem", "setitems", "dict", "additems", "frozenset", "set", "dict call", "ordered dict"],
)
def test_rejects_keys_with_exponential_hash_time(program: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.pdparams").write_bytes(program)
    with pytest.raises(CheckpointError, match="neither text nor a number"):
        open_weights(tmp_path / "weights.pdparams")


@pytest.mark.parametrize("legacy", [False, True])
def test_rejects_small_files_that_expand_to_gigabytes(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.ones(1).expand(30_000, 30_000)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"3,433 MB, far more than the 0\.0 MB stored"):
        open_weights(path)


def test_rejects_one_array_under_a_thousand_names(tmp_path: Path) -> None:
    array = np.ones(100_000, np.float32)
    (tmp_path / "weights.pdparams").write_bytes(pickle.dumps({f"a{i}": array for i in range(1000)}, 4))
    with pytest.raises(CheckpointError, match="far more than"):
        open_weights(tmp_path / "weights.pdparams")


def tensor_program(shape: bytes, strides: bytes, key: bytes = b"X\x01\x00\x00\x000") -> bytes:
    """A pickle of `{"a": tensor}`, whose storage has one number."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + key + b"X\x03\x00\x00\x00cpuK\x01tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + strides + b"\x89NtR"
    return b"\x80\x02}X\x01\x00\x00\x00a" + tensor + b"s."


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little")
    return b"\x8a" + bytes([len(data)]) + data


@pytest.mark.parametrize(
    "program",
    [
        tensor_program(integer(2**2000) + b"\x85", b"K\x00\x85"),  # a stride of 0: inside its storage
        tensor_program(b"(" + integer(2**60) * 20_000 + b"t", b"(" + b"K\x00" * 20_000 + b"t"),
        tensor_program(integer(2**62) + b"K\x00\x86", b"K\x01K\x01\x86"),  # empty
        tensor_program(b"K\x01\x85", b"K\x01\x85", SHARED_60_LEVELS),  # the storage's name
    ],
    ids=["huge", "many dimensions", "empty", "shared key"],
)
def test_rejects_impossible_tensors(program: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", b"\0" * 4)
    with pytest.raises(CheckpointError, match=r"impossible shape|without a name"):
        open_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("shape", [("a", 10**9), (2**1900,) * 20_000, (-4,)], ids=["text", "long", "negative"])
def test_rejects_impossible_shapes_of_arrays(shape: tuple[Any, ...], tmp_path: Path) -> None:
    class Array:
        def __reduce__(self) -> tuple[Any, ...]:
            function, arguments, (version, _, *rest) = np.ones(4, np.float32).__reduce__()
            return function, arguments, (version, shape, *rest)

    (tmp_path / "w.pdparams").write_bytes(pickle.dumps({"a": Array()}, 2))
    with pytest.raises(CheckpointError, match="impossible shape"):
        open_weights(tmp_path / "w.pdparams")


@pytest.mark.parametrize("keys", [SHARED_60_LEVELS, b"](" + SHARED_60_LEVELS + b"e"], ids=["keys", "key"])
def test_rejects_storage_keys_with_exponential_hash_time(keys: bytes, tmp_path: Path) -> None:
    head = LEGACY_MAGIC + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    program = tensor_program(b"K\x01\x85", b"K\x01\x85")
    (tmp_path / "w.pth").write_bytes(head + program + b"\x80\x02" + keys + b"." + struct.pack("<q", 1) + b"\0" * 4)
    with pytest.raises(CheckpointError, match="list of storages is damaged"):
        open_weights(tmp_path / "w.pth")


def test_inspects_variables_whose_names_are_not_text(tmp_path: Path) -> None:
    write_folder(tmp_path / "w", {"a\udcff": np.ones(2, np.float32)})
    assert inspect_weights(tmp_path / "w").numbers == 2


@pytest.mark.parametrize("function", [b"cbuiltins\nlist\n", b"cbuiltins\ntuple\n", b"ccollections\nOrderedDict\n"])
def test_rejects_many_copies_of_a_shared_object(function: bytes, tmp_path: Path) -> None:
    items = b"](" + b"".join(b"K%cN\x86" % i for i in range(200)) * 10 + b"e"
    program = b"\x80\x02" + function + b"q\x00" + items + b"q\x01](" + b"h\x00h\x01\x85R" * 2000 + b"e."
    (tmp_path / "w.pdparams").write_bytes(program)
    with pytest.raises(CheckpointError, match="far more than its size"):
        open_weights(tmp_path / "w.pdparams")


def test_rejects_nested_types_and_compression_bombs(tmp_path: Path) -> None:
    (tmp_path / "w.pdparams").write_bytes(b"\x80\x02cnumpy\ndtype\n]" + SHARED_60_LEVELS + b"a\x85R.")
    with pytest.raises(CheckpointError, match="unknown type"):
        open_weights(tmp_path / "w.pdparams")
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_BZIP2) as archive:  # its declared size is not enforced
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(CheckpointError, match="compressed in a way"):
        open_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("bomb", ["data.pkl", "data/0"])
def test_entries_longer_than_declared_take_no_memory(bomb: str, tmp_path: Path) -> None:
    entries = {"data.pkl": tensor_program(b"K\x01\x85", b"K\x01\x85"), "data/0": b"\0" * 4}
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**entries, bomb: bytes(64 * 2**20)}.items():
            archive.writestr(f"archive/{name}", content)
    data = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(data.replace(struct.pack("<I", 64 * 2**20), struct.pack("<I", 4)))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"Bad CRC|checksum|damaged|complete"):
            open_weights(tmp_path / "w.pth").tensors["a"].read()
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_names_in_messages_are_short(tmp_path: Path) -> None:
    (tmp_path / "w.pdparams").write_bytes(b"\x80\x02c" + b"os" * 4000 + b"\nsystem\n.")
    with pytest.raises(CheckpointError, match="refused") as error:
        open_weights(tmp_path / "w.pdparams")
    assert len(str(error.value)) < 600


def test_refuses_devices() -> None:
    with pytest.raises(CheckpointError, match="a pipe or device, not a file"):
        open_weights("/dev/zero")


def test_mindspore_dimensions_take_linear_time(tmp_path: Path) -> None:
    dims = varint_field(1, 2**63) * 20_000
    value = bytes_field(1, b"a") + bytes_field(2, dims + bytes_field(2, b"Float32") + bytes_field(3, b""))
    (tmp_path / "w.ckpt").write_bytes(bytes_field(1, value))
    with pytest.raises(CheckpointError, match="impossible shape"):
        open_weights(tmp_path / "w.ckpt")
