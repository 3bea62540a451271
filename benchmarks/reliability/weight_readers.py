"""Readers of weights."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.reliability.hostile_pickles import (
    PROTOCOL,
    SHARED,
    hostile_arrays,
    hostile_pickles,
    hostile_tensors,
    pickled_integer,
    tensor_pickle,
)
from benchmarks.reliability.readers import Reader
from benchmarks.reliability.samples import (
    BOMBS,
    PLAIN,
    foreign_tensors,
    hostile_descriptions,
    lying,
    with_header,
    write_inputs,
    write_safetensors,
    zipped,
)


def _zip_seeds(folder: Path) -> None:
    from testing import originals

    from trishift.checkpoints import convert

    write_safetensors(folder / "model.safetensors")
    convert(folder / "model.safetensors", folder / "model.pth")
    (folder / "model.safetensors").unlink()
    originals.write_torch(folder / "plain.pth", {"state_dict": PLAIN, "epoch": 2, "arch": "r50"})
    originals.write_torch(folder / "tsm.pth.tar", {"state_dict": foreign_tensors(), "epoch": 3, "best_prec1": 71.5})


def _legacy_seeds(folder: Path) -> None:
    from testing import originals

    originals.write_torch(folder / "plain.pth", {"state_dict": PLAIN, "epoch": 2}, legacy=True)
    originals.write_torch(folder / "tsm.pth.tar", {"state_dict": foreign_tensors()}, legacy=True)


def _paddle_seeds(folder: Path) -> None:
    from testing import originals

    from trishift.checkpoints import convert

    for protocol in (2, 4):
        originals.write_pdparams(folder / f"plain{protocol}.pdparams", PLAIN, protocol)
    write_safetensors(folder / "model.safetensors")
    convert(folder / "model.safetensors", folder / "model.pdparams")
    (folder / "model.safetensors").unlink()


def _folder_seeds(folder: Path) -> None:
    from trishift.checkpoints.formats.paddle_legacy import write_folder

    write_folder(folder / "plain", PLAIN)
    write_folder(folder / "more", {f"conv{i}_weights": np.ones((4, 3, 3, 3), np.float32) for i in range(4)})


def _mindspore_seeds(folder: Path) -> None:
    from trishift.checkpoints import convert
    from trishift.checkpoints.formats.mindspore import write_ckpt

    write_ckpt(folder / "plain.ckpt", PLAIN, {"epoch": "3"})
    write_safetensors(folder / "model.safetensors")
    convert(folder / "model.safetensors", folder / "model.ckpt")
    (folder / "model.safetensors").unlink()


def _safetensors_seeds(folder: Path) -> None:
    from trishift.checkpoints.formats import safetensors

    write_safetensors(folder / "model.safetensors")
    safetensors.write_safetensors(folder / "plain.safetensors", PLAIN, {"a": "b"})


def _hostile_zips(folder: Path) -> None:
    def contents() -> Iterator[bytes]:
        for program in (*hostile_pickles(), *hostile_arrays(), *hostile_tensors()):
            yield zipped({"archive/data.pkl": program, "archive/data/0": b"\0" * 8})
        plain = tensor_pickle(pickled_integer(1), pickled_integer(1) + b"\x85", pickled_integer(1) + b"\x85")
        for compression, size in BOMBS:
            for content in (
                {"archive/data.pkl": plain, "archive/data/0": bytes(size)},
                {"archive/data.pkl": bytes(size), "archive/data/0": b""},
            ):
                bomb = zipped(content, compression)
                yield bomb
                yield lying(bomb, size, 4)
        yield zipped({"archive/data.pkl": plain, "archive/data/0": b"\0" * 3})
        yield zipped({"archive/data.pkl": plain})
        yield zipped({"../../data.pkl": plain, "../../data/0": b"\0" * 4})
        yield zipped({"archive/data.pkl": plain, "archive/constants.pkl": b""})
        yield zipped({"archive/data.pkl": plain, "archive/byteorder": b"big"})
        yield zipped({f"{i}": b"" for i in range(5000)})
        yield lying(zipped({"archive/data.pkl": plain, "archive/data/0": b"\0\0\0\x01\0\0\0\x01"}), 8, 2**31)
        yield b"PK\x05\x06" + b"\0" * 18
        yield b"PK\x05\x06" + b"\xff" * 18
        yield b"PK\x03\x04"

    write_inputs(folder, ".pth", contents())
    (folder / "fifo.pth").symlink_to("/dev/zero")
    (folder / "loop.pth").symlink_to("loop.pth")


def _hostile_legacy(folder: Path) -> None:
    head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + pickle.dumps(1001, 2) + pickle.dumps({}, 2)

    def contents() -> Iterator[bytes]:
        for program in (*hostile_pickles(), *hostile_arrays(), *hostile_tensors()):
            yield head + program + pickle.dumps(["0"], 2) + struct.pack("<q", 1) + b"\0" * 4
        plain = tensor_pickle(pickled_integer(1), pickled_integer(1) + b"\x85", pickled_integer(1) + b"\x85")
        for count in (0, -1, 2**31, 2**63 - 1):
            yield head + plain + pickle.dumps(["0"], 2) + struct.pack("<q", count) + b"\0" * 4
        for keys in (
            PROTOCOL + SHARED + b".",
            PROTOCOL + b"](" + SHARED + b"e.",
            pickle.dumps(["0"] * 50_000, 2),
            b".",
        ):
            yield head + plain + keys + struct.pack("<q", 1) + b"\0" * 4

    write_inputs(folder, ".pth", contents())


def _hostile_paddle(folder: Path) -> None:
    def contents() -> Iterator[bytes]:
        yield from hostile_pickles()
        yield from hostile_arrays()
        array = np.ones(4, np.float32)
        for slices in (
            {"a": {"slices": ["x"] * 9, "OriginShape": (4,)}},
            {"a": {"slices": ["x"], "OriginShape": (2**62,)}},
            5,
        ):
            yield pickle.dumps({"x": array, "UnpackBigParamInfor@@": slices}, 2)
        for value in ({}, [], 5, None, "text", {"a": {"b": {"c": {}}}}, {b"\xff": array}, {(1, 2): array}, {1: array}):
            yield pickle.dumps(value, 2)

    write_inputs(folder, ".pdparams", contents())


def _variable(levels: int, description: bytes, data: bytes, level: bytes = b"", length: int | None = None) -> bytes:
    length = len(description) if length is None else length
    return struct.pack("<IQ", 0, levels) + level + struct.pack("<Ii", 0, length) + description + data


def _hostile_folders(folder: Path) -> None:
    from trishift.io.protobuf import bytes_field, varint_field

    float32 = varint_field(1, 5)
    variables = [
        *(_variable(0, float32 + varint_field(2, n), b"\0" * 4) for n in (0, 1, 2**31, 2**62, 2**64 - 1)),
        *(_variable(0, float32 + varint_field(2, n) * 400, b"") for n in (1, 2**63)),
        _variable(17, float32, b""),
        _variable(1, float32, b"", struct.pack("<Q", 2**64 - 1)),
        _variable(1, float32, b"", struct.pack("<Q", 2**40)),
        *(_variable(0, float32, b"", length=n) for n in (-1, 2**31 - 1, 999)),
        _variable(0, bytes_field(1, b"abc"), b""),
        _variable(0, b"\xff" * 12, b""),
        *(b"", b"\0", b"\0" * 12, b"\xff" * 64),
    ]
    for number, content in enumerate(variables):
        (folder / f"{number:03d}").mkdir()
        (folder / f"{number:03d}" / "w").write_bytes(content)
    for name in ("link", "pipe", "empty", "many"):
        (folder / name).mkdir()
    (folder / "link" / "w").symlink_to("/dev/zero")
    Path(folder / "link" / "w2").symlink_to("w")
    for number in range(3000):
        (folder / "many" / f"w{number}").write_bytes(_variable(0, float32 + varint_field(2, 1), b"\0" * 4))


def _hostile_mindspore(folder: Path) -> None:
    from trishift.io.protobuf import bytes_field, varint_field

    def value(name: bytes, dims: bytes, data: bytes, kind: bytes = b"Float32") -> bytes:
        tensor = dims + bytes_field(2, kind) + bytes_field(3, data)
        return bytes_field(1, bytes_field(1, name) + bytes_field(2, tensor))

    def contents() -> Iterator[bytes]:
        for n in (0, 1, 2**31, 2**62, 2**64 - 1):
            yield value(b"a", varint_field(1, n), b"\0" * 4)
            yield value(b"a", varint_field(1, n) + varint_field(1, 0), b"")
        yield value(b"a", varint_field(1, 2**63) * 60_000, b"")
        yield value(b"a", bytes_field(1, b"\xff\xff\xff\xff\x7f" * 60_000), b"")
        yield value(b"a", bytes_field(1, b"\0" * 500_000), b"")
        yield value(b"a", b"", b"\0" * 4, b"str")
        yield value(b"a", b"", b"\xff" * 4, b"str")
        yield value(b"a" * 70_000, varint_field(1, 1), b"\0" * 4)
        yield b"".join(value(b"s%d" % i, varint_field(1, 0), b"", b"str") for i in range(5000))
        yield b"".join(value(b"a", varint_field(1, 1), b"\0" * 4) for i in range(20_000))
        yield value(b"\xff\xfe", varint_field(1, 1), b"\0" * 4)
        yield bytes_field(1, b"\x0a\x01a\x0a") + b"\x0a" * 50
        yield b"\x0a" + b"\xff" * 9 + b"\x01" + b"\x0a" * 30

    write_inputs(folder, ".ckpt", contents())


def _hostile_safetensors(folder: Path) -> None:
    def contents() -> Iterator[bytes]:
        for length in (0, 1, 2**24, 10**8, 2**63, 2**64 - 1):
            yield with_header(b"{}", length=length)
        for shape, offsets in (
            *(
                ([1], [0, 4]),
                ([2**40], [0, 4]),
                ([2**62, 0], [0, 0]),
                ([2**64], [0, 0]),
                ([0] * 100, [0, 0]),
                ([-1], [0, 4]),
            ),
            *(
                ([1], [0, 2**63]),
                ([1], [4, 0]),
                ([1], [0]),
                ([1] * 70, [0, 4]),
                ([1.5], [0, 4]),
                (["1"], [0, 4]),
                ([], [0, 4]),
            ),
        ):
            for kind in ("F32", "BF16", "F8_E4M3", "X", "F4"):
                entry = {"a": {"dtype": kind, "shape": shape, "data_offsets": offsets}}
                yield with_header(json.dumps(entry).encode(), b"\0" * 4)
        yield with_header(b'{"a":' * 100_000)
        yield with_header(b'{"__metadata__":' + b"[" * 100_000)
        names = {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(9000)}
        yield with_header(json.dumps(names).encode())
        for text in hostile_descriptions():
            header = {"__metadata__": {"trishift": text, "trishift.training": text}}
            yield with_header(json.dumps(header).encode())

    write_inputs(folder, ".safetensors", contents())


def read_weights(path: Path, out: Path) -> None:
    """Identify weights, import them, and read every tensor."""
    from trishift.checkpoints import inspect_weights
    from trishift.checkpoints.files import open_weights

    str(inspect_weights(path))
    for tensor in open_weights(path).tensors.values():
        tensor.read()


READERS = {
    "pytorch": Reader("PyTorch zip (`.pth`, `.pth.tar`)", _zip_seeds, _hostile_zips, read_weights),
    "pytorch-legacy": Reader("PyTorch before 1.6", _legacy_seeds, _hostile_legacy, read_weights),
    "paddle": Reader("Paddle `.pdparams`", _paddle_seeds, _hostile_paddle, read_weights),
    "paddle1": Reader("Paddle 1.x folder", _folder_seeds, _hostile_folders, read_weights),
    "mindspore": Reader("MindSpore `.ckpt`", _mindspore_seeds, _hostile_mindspore, read_weights),
    "safetensors": Reader("checkpoint `.safetensors`", _safetensors_seeds, _hostile_safetensors, read_weights),
}
