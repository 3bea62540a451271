"""The canonical file: round trips, refusals, and what survives a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import safetensors.numpy

from trishift.checkpoints import canonical
from trishift.checkpoints.canonical import Checkpoint
from trishift.checkpoints.formats.safetensors import read_safetensors, write_safetensors
from trishift.checkpoints.training_state import TrainingState, load_state, save_state
from trishift.errors import CheckpointError
from trishift.io.atomic import write_atomically
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


def test_round_trip(tmp_path: Path) -> None:
    canonical.save(tmp_path / "w.safetensors", checkpoint())
    assert_same(canonical.load(tmp_path / "w.safetensors"), checkpoint())


def test_the_safetensors_package_reads_and_writes_the_same(tmp_path: Path) -> None:
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


def test_strided_and_big_endian_arrays_keep_their_values(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    array = np.arange(12, dtype=">f4").reshape(3, 4)
    write_safetensors(path, {"t": array.T, "s": array[::2]}, {})
    tensors, _ = read_safetensors(path)
    np.testing.assert_array_equal(tensors["t"], array.T)
    np.testing.assert_array_equal(tensors["s"], array[::2])


@pytest.mark.parametrize("cut", [0, 4, 9, 100, -1])
def test_cut_files_are_refused_in_one_line(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "w.safetensors"
    canonical.save(path, checkpoint())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="not a whole safetensors file") as error:
        canonical.load(path)
    assert "\n" not in str(error.value)


def test_newer_versions_and_strangers_are_refused(tmp_path: Path) -> None:
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


def test_inconsistent_content_is_refused() -> None:
    with pytest.raises(CheckpointError, match="3 labels for a model of 2"):
        checkpoint(labels=("a", "b", "c"))
    with pytest.raises(CheckpointError, match="'optimizer'"):
        checkpoint(meta={"optimizer": {}})


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    canonical.save(path, checkpoint())
    before = path.read_bytes()

    def full_disk(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="No space left on device"):
        write_atomically(path, full_disk)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.safetensors"]


def test_an_unwritable_destination_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        canonical.save(tmp_path / "missing" / "w.safetensors", checkpoint())


def test_training_state_round_trip_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    momentum = {"backbone.b": np.full((2, 3), 0.25, np.float32)}
    state = TrainingState(2, 7, 51, 1, momentum, {"top1": 0.4, "epoch": 1}, {"history": [{"loss": 1.5}]})
    save_state(path, checkpoint(), state)
    weights, loaded = load_state(path)
    assert_same(weights, checkpoint())
    np.testing.assert_array_equal(loaded.momentum.pop("backbone.b"), momentum["backbone.b"])
    assert loaded == TrainingState(2, 7, 51, 1, {}, state.best, state.extra)
    assert_same(canonical.load(path), checkpoint())  # the same file, for those who want weights only


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    canonical.save(tmp_path / "w.safetensors", checkpoint())
    with pytest.raises(CheckpointError, match="no training state"):
        load_state(tmp_path / "w.safetensors")


def test_every_byte_of_a_file_may_be_wrong(tmp_path: Path) -> None:
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
