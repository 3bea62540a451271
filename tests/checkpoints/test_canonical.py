"""The canonical file: round trips, rejected files, and training states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from trishift.checkpoints import canonical
from trishift.checkpoints.canonical import Checkpoint
from trishift.checkpoints.formats.safetensors import read_safetensors, write_safetensors
from trishift.checkpoints.training_state import TrainingState, load_state, save_state
from trishift.errors import CheckpointError, OutputError, RecipeError
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec

SPEC = ModelSpec(
    backbone="resnet18",
    num_classes=2,
    shift=ShiftSpec(placement=("layer1.0", "layer3.1"), direction="unidirectional"),
    head=HeadSpec(consensus="multiscale_relation", relations="all"),
)


def checkpoint(**changes: Any) -> Checkpoint:
    values: dict[str, Any] = {
        "tensors": {"backbone.b": np.float32([[0, 1, 2], [3, 4, 5]]), "head.fc.bias": np.zeros(2, np.float32)},
        "spec": SPEC,
        "input": InputSpec(crop=112, resize=128),
        "labels": ("Stöß", "一"),
        "meta": {"framework": "paddle", "epoch": 3, "metrics": {"top1": 0.5}},
    }
    return Checkpoint(**{**values, **changes})


def assert_same(a: Checkpoint, b: Checkpoint) -> None:
    assert list(a.tensors) == list(b.tensors)
    for name, array in a.tensors.items():
        assert array.dtype == b.tensors[name].dtype
        np.testing.assert_array_equal(array, b.tensors[name])
    assert (a.spec, a.input, a.labels, a.meta) == (b.spec, b.input, b.labels, b.meta)


@pytest.mark.parametrize(("crop", "written"), [(112, '"crop": 112,'), ((96, 128), '"crop": [96, 128],')])
def test_round_trip(tmp_path: Path, crop: int | tuple[int, int], written: str) -> None:
    saved = checkpoint(input=InputSpec(crop=crop, resize=128))
    canonical.save(tmp_path / "w.safetensors", saved)
    assert_same(canonical.load(tmp_path / "w.safetensors"), saved)
    assert written in canonical.encode_description(saved)


def test_compatible_with_the_safetensors_package(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {"a": np.float16([[1, 2]]), "b": np.array(7, np.int64), "empty": np.zeros((0, 3), np.float32)}
    write_safetensors(path, tensors, {"k": "v"})
    theirs = safetensors.numpy.load_file(path)
    assert {n: (a.shape, a.dtype) for n, a in theirs.items()} == {n: (a.shape, a.dtype) for n, a in tensors.items()}
    safetensors.numpy.save_file(tensors, path, {"k": "v"})
    ours, metadata = read_safetensors(path)
    assert metadata == {"k": "v"}
    np.testing.assert_array_equal(ours["a"], tensors["a"])
    np.testing.assert_array_equal(ours["b"], tensors["b"])


def test_bytes_match_the_safetensors_package_and_are_reproducible(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    tensors = {"b": np.ones((2, 3), np.float32), "é": np.array(7, np.int64), "a": np.float16([[1, 2]])}
    write_safetensors(ours, tensors, {"k": "v"})
    safetensors.numpy.save_file(tensors, theirs, {"k": "v"})
    assert ours.read_bytes() == theirs.read_bytes()
    metadata = {str(number): str(number) for number in range(20)}
    write_safetensors(ours, tensors, metadata)
    before = ours.read_bytes()
    write_safetensors(ours, dict(reversed(tensors.items())), metadata)
    assert ours.read_bytes() == before
    (tmp_path / "plain").touch()
    assert ours.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_safetensors_package_reads_every_dtype(tmp_path: Path) -> None:
    kinds = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ml_dtypes.bfloat16]
    tensors = {str(np.dtype(kind)): np.array([0, 1, 3]).astype(kind) for kind in kinds}
    write_safetensors(tmp_path / "w.safetensors", tensors, {})
    theirs = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    for name, array in tensors.items():
        assert theirs[name].dtype == array.dtype
        np.testing.assert_array_equal(theirs[name], array)
    with pytest.raises(CheckpointError, match="c: safetensors files cannot hold complex64"):
        write_safetensors(tmp_path / "w.safetensors", {"c": np.ones(2, np.complex64)}, {})


def test_strided_and_big_endian_arrays_keep_their_values(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    array = np.arange(12, dtype=">f4").reshape(3, 4)
    write_safetensors(path, {"t": array.T, "s": array[::2]}, {})
    tensors, _ = read_safetensors(path)
    np.testing.assert_array_equal(tensors["t"], array.T)
    np.testing.assert_array_equal(tensors["s"], array[::2])


@pytest.mark.parametrize("cut", [0, 4, 9, 100, -1])
def test_rejects_truncated_files(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "w.safetensors"
    canonical.save(path, checkpoint())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="not a complete safetensors file") as error:
        canonical.load(path)
    assert "\n" not in str(error.value)


def test_rejects_newer_versions_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {}, {"trishift": json.dumps({"format": 99})})
    with pytest.raises(CheckpointError, match="newer Trishift"):
        canonical.load(path)
    write_safetensors(path, {}, {})
    with pytest.raises(CheckpointError, match="no description inside"):
        canonical.load(path)
    description = json.loads(canonical.encode_description(checkpoint()))
    write_safetensors(path, {}, {"trishift": json.dumps({**description, "color": 1})})
    with pytest.raises(CheckpointError, match="'color'"):
        canonical.load(path)
    description["spec"]["backbone"] = "vgg"
    write_safetensors(path, {}, {"trishift": json.dumps(description)})
    with pytest.raises(CheckpointError, match="vgg"):
        canonical.load(path)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        *((None, "labels", value) for value in ("walk", [1, 2], [None])),
        *((None, key, []) for key in ("meta", "spec", "input")),
        *(("spec", key, value) for key in ("num_segments", "width", "dropout") for value in ("x", None, 2**70, [])),
        *(("meta", key, "x") for key in ("recipe", "epoch", "metrics", "thresholds")),
        ("input", "mean", "x"),
        *(("meta", "calibration", value) for value in ("x", {}, {"temperature": 0, "thresholds": [0.5, 0.5]})),
        *(("meta", "thresholds", value) for value in ([0.5], [0.5, True], [0.5, -1])),
        ("meta", "calibration", {"temperature": 1, "thresholds": [0.5]}),
        ("meta", "calibration", {"temperature": True, "thresholds": [0.5, 0.5]}),
        ("meta", "calibration", {"temperature": 1, "thresholds": [0.5, 1.5]}),
    ],
)
def test_rejects_descriptions_of_wrong_types(tmp_path: Path, section: str | None, key: str, value: object) -> None:
    content = json.loads(canonical.encode_description(checkpoint()))
    (content if section is None else content[section])[key] = value
    write_safetensors(tmp_path / "w.safetensors", {}, {"trishift": json.dumps(content)})
    with pytest.raises(CheckpointError, match="its description is damaged"):
        canonical.load(tmp_path / "w.safetensors")


@pytest.mark.parametrize("key", ["epoch", "batch", "iteration", "seed", "best"])
@pytest.mark.parametrize("value", [None, "x", -1, 1.5, True])
def test_rejects_positions_of_wrong_types(tmp_path: Path, key: str, value: object) -> None:
    state = {"format": 1, "epoch": 0, "batch": 0, "iteration": 0, "seed": 0, "best": {}, key: value}
    metadata = {"trishift": canonical.encode_description(checkpoint()), "trishift.training": json.dumps(state)}
    write_safetensors(tmp_path / "w.safetensors", {}, metadata)
    with pytest.raises(CheckpointError, match="its training state is damaged"):
        load_state(tmp_path / "w.safetensors")


def test_rejects_endless_networks() -> None:
    with pytest.raises(RecipeError, match="num_segments: must be 4,096 or less"):
        ModelSpec(num_segments=10**9)
    with pytest.raises(RecipeError, match="use 20 segments or less"):
        ModelSpec(num_segments=32, head=HeadSpec("multiscale_relation"))


def test_rejects_inconsistent_content() -> None:
    with pytest.raises(CheckpointError, match="3 labels for a model of 2"):
        checkpoint(labels=("a", "b", "c"))
    with pytest.raises(CheckpointError, match="'optimizer'"):
        checkpoint(meta={"optimizer": {}})


def test_rejects_unwritable_destination(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        canonical.save(tmp_path / "file" / "w.safetensors", checkpoint())


def test_training_state_round_trip_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    momentum = {"momentum.backbone.b": np.full((2, 3), 0.25, np.float32)}
    best = {"top1": 0.4, "epoch": 1}
    average, peer = {"backbone.b": np.ones(2, np.float32)}, {"weights.backbone.b": np.zeros(2, np.float32)}
    state = TrainingState(2, 7, 51, 1, momentum, best, [best], average, peer)
    save_state(path, checkpoint(), state)
    weights, loaded = load_state(path)
    assert_same(weights, checkpoint())
    for saved, arrays in ((momentum, loaded.optimizer), (average, loaded.average), (peer, loaded.peer)):
        assert saved.keys() == arrays.keys()
        name = next(iter(saved))
        np.testing.assert_array_equal(arrays.pop(name), saved[name])
    assert loaded == TrainingState(2, 7, 51, 1, {}, best, [best])
    assert_same(canonical.load(path), checkpoint())  # the same file, without the training state


def test_training_states_of_earlier_versions_load(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_state(path, checkpoint(), TrainingState(2, 7, 51, 1))
    tensors, metadata = read_safetensors(path)
    old = json.dumps({**json.loads(metadata["trishift.training"]), "extra": {}})
    write_safetensors(path, tensors, {**metadata, "trishift.training": old})
    assert load_state(path)[1] == TrainingState(2, 7, 51, 1)


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    canonical.save(tmp_path / "w.safetensors", checkpoint())
    with pytest.raises(CheckpointError, match="no training state"):
        load_state(tmp_path / "w.safetensors")


def test_foreign_weights_cannot_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "foreign.pth").write_bytes(b"PK weights of PyTorch")
    with pytest.raises(CheckpointError, match=r"cannot be resumed; .* set train\.initial_weights=.*foreign\.pth"):
        load_state(tmp_path / "foreign.pth")


def test_any_corrupt_byte_raises_only_clear_errors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_state(path, checkpoint(), TrainingState(0, 0, 0, 1))
    whole = bytearray(path.read_bytes())
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            load_state(path)
        except CheckpointError as error:
            assert "\n" not in str(error)
