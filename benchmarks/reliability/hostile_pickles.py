"""Pickles that run code, take exponential time, or ask for gigabytes."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

SHARED = b"K\x01\x85" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))  # a tuple of 2**60 leaves


PROTOCOL = b"\x80\x02"


class Runs:
    """Creates the file `ran` when unpickled by Python."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def pickled_text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _wide(opcode: bytes, length: int) -> bytes:
    return PROTOCOL + opcode + struct.pack("<Q" if opcode in (b"\x8d", b"\x8e", b"\x96") else "<I", length) + b"."


def hostile_pickles() -> Iterator[bytes]:
    """Pickles that run code, take exponential time, or ask for gigabytes."""
    for function, arguments in (
        *(
            (os.system, ("touch ran",)),
            (eval, ("open('ran','w')",)),
            (exec, ("open('ran','w')",)),
            (open, ("ran", "w")),
        ),
        *((os.unlink, ("in",)), (shutil.rmtree, (".",)), (__import__, ("antigravity",))),
        *(
            (bytes, (10**12,)),
            (bytearray, (10**12,)),
            (range, (10**12,)),
            (list, (range(10**9),)),
            (np.zeros, (10**10,)),
        ),
    ):
        yield pickle.dumps({"state_dict": {"a": np.ones(2, np.float32), "b": Runs(function, *arguments)}}, 2)
    for program in (
        *(
            b"cbuiltins\ngetattr\n(cos\nX\x06\0\0\0system\x86R.",
            b"(S'touch ran'\nios\nsystem\n.",
            b"\x82\x01.",
            b"P1\n.",
        ),
        *(
            b"(cos\nsystem\nS'touch ran'\no.",
            b"cnumpy\nndarray\n}X\x01\0\0\0aNsb.",
            b"ctorch.hub\nload\nX\x01\0\0\0a\x85R.",
        ),
        *(
            b"}" + SHARED + b"K\x01s.",
            b"}(" + SHARED + b"K\x01u.",
            b"(" + SHARED + b"K\x01d.",
            b"\x8f(" + SHARED + b"\x90.",
        ),
        *(b"(" + SHARED + b"\x91.", b"cbuiltins\nset\n(" + SHARED + b"l\x85R.", SHARED + b"Q.", b"(" * 100_000 + b"."),
        *(
            b"]" + b"]a" * 50_000 + b".",
            b"]" + b"\x85" * 100_000 + b".",
            b"}" + b"}K\x01s" * 1000 + b".",
            b"." * 10,
            b"",
        ),
        *(
            b"cnumpy\ndtype\n" + SHARED + b"\x85R.",
            b"cnumpy\ndtype\n]" + SHARED + b"a\x85R.",
            b"I" + b"9" * 9000 + b"\n.",
        ),
        *(
            b"}" + pickled_text("a") + b"\x8b" + struct.pack("<i", 2**19) + b"\x7f" * 2**19 + b"s.",
            b"L" + b"9" * 9000 + b"L\n.",
        ),
        *(
            b"}\x8b" + struct.pack("<i", 2**19) + b"\x7f" * 2**19 + b"K\x01s.",
            b"F" + b"1" * 9000 + b"\n.",
            b"\x8b\xff\xff\xff\x7f.",
        ),
    ):
        yield PROTOCOL + program
    for opcode in (b"B", b"X", b"T", b"\x8d", b"\x8e", b"\x96", b"r", b"\x8b", b"\x95"):
        for length in (2**31 - 1, 2**32 - 1, 2**62):
            if length < 2**32 or opcode in (b"\x8d", b"\x8e", b"\x96"):
                yield _wide(opcode, length)
    yield _copies(b"cbuiltins\nlist\n", b"](" + b"N" * 60_000 + b"e", 20_000)
    yield _copies(b"cbuiltins\ntuple\n", b"(" + b"N" * 60_000 + b"t", 20_000)
    yield _copies(
        b"ccollections\nOrderedDict\n",
        b"](" + b"".join(b"K%c" % (i % 250) + b"N\x86" for i in range(9000)) + b"e",
        9000,
    )
    yield _copies(b"c_codecs\nencode\n", pickled_text("a" * 60_000), 20_000)
    yield _copies(b"cbuiltins\nbytearray\n", pickled_text("a" * 60_000), 20_000)
    yield PROTOCOL + b"}(" + b"".join(pickled_text(f"k{i}") + b"cpathlib\nP%d\n" % i for i in range(30_000)) + b"u."


def _copies(function: bytes, value: bytes, count: int) -> bytes:
    """A list of many calls with one shared argument."""
    return PROTOCOL + function + b"q\0" + value + b"q\1" + b"](" + b"h\0h\1\x85R" * count + b"e."


def hostile_arrays() -> Iterator[bytes]:
    """Pickled numpy arrays with shapes that do not fit their data."""
    shapes = ((2**62,), (0, 2**62), (-1,), (2**2000, 0), (1,) * 70, (True,), ("a",), (1.5,), (2**40, 2**40), ())
    for shape in (*shapes, ("a", 10**9), (2**1900,) * 20_000):
        array = np.zeros(1, np.float32)
        function, arguments, state = array.__reduce__()
        yield pickle.dumps({"a": _State(function, arguments, (state[0], shape, *state[2:]))}, 2)
    shared = np.ones(100_000, np.float32)
    yield pickle.dumps({f"a{i}": shared for i in range(1000)}, 4)
    for code in ("O", "V4", "U4", "S9", "M8[s]", "c16", "f4,f4", "(3,3)f4", "f4" * 9999, "f2", "?", ">f8", "g"):
        yield pickle.dumps({"a": Runs(np.dtype, code)}, 2)
    data = pickle.dumps(np.ones(50_000, np.float32).tobytes().decode("latin1"), 2)[2:-1]
    build = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R"
    kind = b"cnumpy\ndtype\n" + pickled_text("f4") + b"K\0K\1\x87R"
    state = b"(K\x01M\x50\xc3\x85h\x01\x89h\x02tb"
    yield b"\x80\x03" + data + b"q\x02" + kind + b"q\x01" + b"}(" + b"".join(
        pickled_text(f"k{i}") + build + state for i in range(5000)
    ) + b"u."  # fmt: skip


class _State:
    def __init__(self, function: Any, arguments: Any, state: Any) -> None:
        self.parts = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


def tensor_pickle(
    count: bytes, shape: bytes, strides: bytes, key: bytes = pickled_text("0"), kind: bytes = b"FloatStorage"
) -> bytes:
    """The pickle of one tensor, with any numbers in it."""
    storage = b"(" + pickled_text("storage") + b"ctorch\n" + kind + b"\n" + key + pickled_text("cpu") + count + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + shape + strides + b"\x89Nt" + b"R"
    return PROTOCOL + b"}" + pickled_text("a") + tensor + b"s."


def pickled_integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def hostile_tensors() -> Iterator[bytes]:
    """Pickles of tensors with stride 0, huge shapes, and shared keys."""
    one = pickled_integer(1) + b"\x85"
    for shape in (10**9, 2**40, 2**62, 2**64, 2**2000, -1):
        yield tensor_pickle(pickled_integer(1), pickled_integer(shape) + b"\x85", pickled_integer(0) + b"\x85")
        yield tensor_pickle(
            pickled_integer(1), pickled_integer(shape) + pickled_integer(0) + b"\x86", pickled_integer(1) * 2 + b"\x86"
        )
        yield tensor_pickle(pickled_integer(shape), one, one)
    yield tensor_pickle(
        pickled_integer(1), b"(" + pickled_integer(1) * 100 + b"t", b"(" + pickled_integer(0) * 100 + b"t"
    )
    yield tensor_pickle(
        pickled_integer(1), b"(" + pickled_integer(2**60) * 20_000 + b"t", b"(" + pickled_integer(0) * 20_000 + b"t"
    )
    yield tensor_pickle(pickled_integer(1), one, one, SHARED)
    yield tensor_pickle(pickled_integer(1), b"\x88\x85", one)
    yield tensor_pickle(pickled_integer(1), one, pickled_integer(2**70) + b"\x85")
    kind = b"ctorch\nFloatStorage\n}" + pickled_text("name") + pickled_text("DoubleStorage") + b"sb0"
    yield PROTOCOL + kind + tensor_pickle(pickled_integer(1), one, one)[2:]
