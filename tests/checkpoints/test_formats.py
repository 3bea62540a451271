"""Readers and writers of the frameworks' formats: round trips, compatibility, and damaged files."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from testing import originals
from tests.support.installed import MISSING
from tests.support.paths import SHARED

from trishift.checkpoints.files import open_weights, sha256
from trishift.checkpoints.formats import mindspore, paddle, paddle_legacy, pytorch, safetensors
from trishift.errors import CheckpointError

TENSORS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "half": np.float16([1.5, -2]),
    "scalar": np.array(2.5, np.float32),
    "count": np.array([3, 4], np.int64),
}


def assert_holds(path: Path, expected: dict[str, np.ndarray]) -> None:
    stored = open_weights(path).tensors
    assert set(stored) == set(expected)
    for name, array in expected.items():
        assert stored[name].shape == array.shape
        np.testing.assert_array_equal(stored[name].read(), array)


def write_all(folder: Path, tensors: dict[str, np.ndarray]) -> dict[str, Path]:
    """Write one file of every readable format."""
    paths = {
        "zip": originals.write_torch(folder / "zip.pth", {"state_dict": tensors, "epoch": 2}),
        "legacy": originals.write_torch(folder / "legacy.pth", {"state_dict": tensors}, legacy=True),
        "pdparams": originals.write_pdparams(folder / "w.pdparams", tensors),
        "ckpt": folder / "w.ckpt",
        "folder": folder / "variables",
        "safetensors": folder / "w.safetensors",
    }
    mindspore.write_ckpt(paths["ckpt"], tensors, {"trishift": "{}"})
    paddle_legacy.write_folder(paths["folder"], tensors)
    safetensors.write_safetensors(paths["safetensors"], tensors, {})
    return paths


@pytest.mark.parametrize("kind", ["zip", "legacy", "pdparams", "ckpt", "folder", "safetensors"])
def test_every_format_round_trips(kind: str, tmp_path: Path) -> None:
    assert_holds(write_all(tmp_path, TENSORS)[kind], TENSORS)


@pytest.mark.parametrize("legacy", [False, True])
def test_reads_every_kind_of_torch_tensor(legacy: bool, tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = OrderedDict(
        whole=base, view=base[1], column=base[:, 2], turned=base.t(), parameter=torch.nn.Parameter(base + 1),
        brain=torch.tensor([1.5, -3.0]).bfloat16(), empty=torch.zeros(0, 3), expanded=torch.ones(1, 2).expand(3, 2),
    )  # fmt: skip
    optimizer = {"state": {0: {"momentum_buffer": base}}, "param_groups": [{"lr": np.float64(0.1)}]}
    content = {"state_dict": state, "optimizer": optimizer, "epoch": 5, "best_prec1": torch.tensor(61.0), "arch": "r50"}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    file = open_weights(tmp_path / "w.pth")
    assert {name: tensor.read().tolist() for name, tensor in file.tensors.items()} == {
        name: tensor.detach().float().tolist() for name, tensor in state.items()
    }
    assert file.extras == {"epoch": 5, "arch": "r50"}
    assert set(file.ignored) == {"optimizer"}


def test_torch_loads_our_files_with_weights_only(tmp_path: Path) -> None:
    pytorch.write_pytorch(tmp_path / "w.pth", TENSORS, {"trishift": "{}", "epoch": 300, "ratio": 0.5, "flag": True})
    content = torch.load(tmp_path / "w.pth", weights_only=True)
    assert (content["trishift"], content["epoch"], content["ratio"], content["flag"]) == ("{}", 300, 0.5, True)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(content["state_dict"][name].numpy(), array)
    assert_holds(tmp_path / "w.pth", TENSORS)


def run_python(code: str, folder: Path) -> None:
    """Run code in its own process; the frameworks conflict when imported together."""
    environment = {**os.environ, "GLOG_v": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif("paddle" in MISSING, reason="paddle is not installed")
def test_paddle_reads_our_files_and_we_read_paddles(tmp_path: Path) -> None:
    paddle.write_pdparams(tmp_path / "ours.pdparams", TENSORS, {"trishift": "{}"})
    paddle_legacy.write_folder(tmp_path / "variables", TENSORS)
    np.savez(tmp_path / "expected.npz", **TENSORS)
    run_python(
        "import numpy as np, paddle\n"
        "expected = dict(np.load('expected.npz'))\n"
        "ours = paddle.load('ours.pdparams')\n"
        "assert ours.pop('trishift') == '{}'\n"
        "for found in ({k: v.numpy() for k, v in ours.items()}, paddle.load('variables')):\n"
        "    assert set(found) == set(expected)\n"
        "    assert all(np.array_equal(found[k], v) for k, v in expected.items())\n"
        "tensors = {k: paddle.to_tensor(v) for k, v in expected.items()}\n"
        "for protocol in (2, 3, 4):\n"
        "    paddle.save(tensors, f'theirs{protocol}.pdparams', protocol=protocol)\n"
        "paddle.save({'a': (tensors['half'], 1), 'x': tensors['half']}, 'nested.pdparams')\n"
        "paddle.save(tensors, 'theirs.safetensors', safetensors=True)\n",
        tmp_path,
    )
    for protocol in (2, 3, 4):
        assert_holds(tmp_path / f"theirs{protocol}.pdparams", TENSORS)
    assert_holds(tmp_path / "theirs.safetensors", TENSORS)
    assert_holds(tmp_path / "nested.pdparams", {"x": TENSORS["half"]})


@pytest.mark.skipif("mindspore" in MISSING, reason="mindspore is not installed")
def test_mindspore_reads_our_files_and_we_read_mindspores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mindspore, "_SLICE", 40)  # bytes, so that tensors are stored in slices
    mindspore.write_ckpt(tmp_path / "ours.ckpt", TENSORS, {"trishift": '{"name": "Stöß"}'})
    np.savez(tmp_path / "expected.npz", **TENSORS)
    run_python(
        "import numpy as np, mindspore as ms\n"
        "expected = dict(np.load('expected.npz'))\n"
        "ours = ms.load_checkpoint('ours.ckpt')\n"
        "assert ours.pop('trishift') == '{\"name\": \"Stöß\"}'\n"
        "assert all(np.array_equal(ours[k].asnumpy(), v) for k, v in expected.items())\n"
        "params = [{'name': k, 'data': ms.Tensor(v)} for k, v in expected.items()]\n"
        "ms.save_checkpoint(params, 'theirs.ckpt', append_dict={'epoch': 3, 'arch': 'tsm'}, crc_check=True)\n"
        "ms.save_checkpoint(params, 'theirs.safetensors', format='safetensors')\n",
        tmp_path,
    )
    assert_holds(tmp_path / "ours.ckpt", TENSORS)
    assert_holds(tmp_path / "theirs.ckpt", {**TENSORS, "epoch": np.array(3, np.int64)})
    assert open_weights(tmp_path / "theirs.ckpt").extras == {"arch": "tsm"}
    assert_holds(tmp_path / "theirs.safetensors", TENSORS)


def test_paddle_slices_and_python_2_pickles(tmp_path: Path) -> None:
    array = TENSORS["a.weight"]
    flat = array.reshape(-1)
    content = {
        "a@@.0": flat[:10],
        "a@@.1": flat[10:],
        "b": ("linear_0.w_0", array),
        "UnpackBigParamInfor@@": {"a": {"OriginShape": array.shape, "slices": ["a@@.0", "a@@.1"]}},
    }
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content, 2))
    assert_holds(tmp_path / "w.pdparams", {"a": array, "b": array})


def test_training_framework_objects_are_skipped(tmp_path: Path) -> None:
    """mmengine and argparse leave objects in checkpoints; they are neither imported nor an obstacle."""
    import argparse

    content = {"state_dict": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=0.1), "meta": {"path": Path("x")}}
    torch.save(content, tmp_path / "w.pth")
    file = open_weights(tmp_path / "w.pth")
    assert list(file.tensors) == ["a"]
    assert set(file.ignored) == {"args", "meta"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\n  <html><body>Sign in", "web page"),
        (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x1f\x8b\x08\x00" * 9, "unpack it"),
        (b"hello world, these are no weights", "not a weight file"),
        (b"PK\x03\x04" + b"\0" * 60, "not a complete PyTorch zip"),
        (pickle.dumps([1, 2]), "no dictionary of tensors"),
        (pickle.dumps({"a": 1}), "no dictionary of tensors"),
    ],
)
def test_rejects_files_that_are_not_weights(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        open_weights(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_rejects_missing_files_and_other_folders(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        open_weights(tmp_path / "missing.pth")
    with pytest.raises(CheckpointError, match="holds nothing; expected a weight file"):
        open_weights(tmp_path)
    (tmp_path / "notes").write_text("no variable")
    with pytest.raises(CheckpointError, match="notes"):
        open_weights(tmp_path)


def test_rejects_other_zip_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"x")
    with pytest.raises(CheckpointError, match=r"not of PyTorch"):
        open_weights(tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(CheckpointError, match="far more than its size"):
        open_weights(tmp_path / "bomb.pth")
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(CheckpointError, match="TorchScript"):
        open_weights(tmp_path / "script.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
        open_weights(tmp_path / "module.pt")


def read_everything(path: Path) -> None:
    for tensor in open_weights(path).tensors.values():
        tensor.read()


@pytest.mark.parametrize("kind", ["zip", "legacy", "pdparams", "ckpt", "safetensors"])
def test_rejects_truncated_files(kind: str, tmp_path: Path) -> None:
    path = write_all(tmp_path, TENSORS)[kind]
    whole = path.read_bytes()
    for length in [*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as error:
            read_everything(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pdparams", "ckpt", "folder", "safetensors"])
def test_damaged_files_raise_only_clear_errors(kind: str, tmp_path: Path) -> None:
    path = write_all(tmp_path, TENSORS)[kind]
    target = path / "a.weight" if kind == "folder" else path
    whole = target.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(whole), min(len(whole), 400), replace=False):
        damaged = bytearray(whole)
        damaged[position] = rng.integers(256)
        target.write_bytes(damaged)
        try:
            read_everything(path)
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_rejects_a_real_broken_upload() -> None:
    """A published checkpoint, truncated after one MiB."""
    path = SHARED / "weights" / "truncated_mobilenetv2_jester_online.pth.tar"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with pytest.raises(CheckpointError, match="ends early"):
        open_weights(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pdparams", "ckpt", "folder", "safetensors"])
def test_memory_stays_below_2_5_times_the_file(kind: str, tmp_path: Path) -> None:
    tensors = {f"t{i}": np.full((1000, 500), i, np.float32) for i in range(10)}
    path = write_all(tmp_path, tensors)[kind]
    tracemalloc.start()
    try:
        arrays = [np.require(tensor.read(), np.float32, ["C", "W"]) for tensor in open_weights(path).tensors.values()]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = sum(array.nbytes for array in arrays)
    assert size <= peak <= 2.5 * size


@pytest.mark.parametrize("first", [0x80, 0x50, 0x0A, 0x1F])
def test_safetensors_with_any_header_length_are_recognized(first: int, tmp_path: Path) -> None:
    """The file starts with a length, whose lowest byte may look like another format."""
    plain = safetensors_of({"a": np.ones(1, np.float32)}, padding=0)
    padding = (first - plain[0]) % 256
    (tmp_path / "w").write_bytes(safetensors_of({"a": np.ones(1, np.float32)}, padding))
    assert (tmp_path / "w").read_bytes()[0] == first
    assert_holds(tmp_path / "w", {"a": np.ones(1, np.float32)})


def safetensors_of(tensors: dict[str, np.ndarray], padding: int) -> bytes:
    import safetensors.numpy as reference

    data = reference.save(tensors)
    length = int.from_bytes(data[:8], "little")
    return (length + padding).to_bytes(8, "little") + data[8 : 8 + length] + b" " * padding + data[8 + length :]


def test_hash_of_files_and_folders(tmp_path: Path) -> None:
    import hashlib

    paths = write_all(tmp_path, TENSORS)
    assert sha256(paths["zip"]) == hashlib.sha256(paths["zip"].read_bytes()).hexdigest()
    before = sha256(paths["folder"])
    (paths["folder"] / "half").rename(paths["folder"] / "halves")
    assert sha256(paths["folder"]) != before


def test_rejects_unsupported_dtypes(tmp_path: Path) -> None:
    complex_numbers = {"a": np.zeros(2, np.complex64)}
    for write in (lambda p: pytorch.write_pytorch(p, complex_numbers, {}),
                  lambda p: mindspore.write_ckpt(p, complex_numbers, {})):  # fmt: skip
        with pytest.raises(CheckpointError, match="complex64"):
            write(tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_rejects_tensors_beyond_their_storage(tmp_path: Path) -> None:
    """A forged pickle can declare a tensor larger than its storage."""
    pytorch.write_pytorch(tmp_path / "w.pth", {"a": np.ones(4, np.float32)}, {})
    buffer = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "w.pth") as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data.replace(b"(\x8a\x01\x04t", b"(\x8a\x01\x05t"))  # shape (4,) to (5,)
    (tmp_path / "w.pth").write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="beyond its storage"):
        open_weights(tmp_path / "w.pth")
