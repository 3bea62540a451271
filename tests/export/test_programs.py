"""Programs of checkpoints are made once, verified, kept, and made anew if damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from testing.weights import smooth_weights
from tests.support.installed import INSTALLED

import trishift
from trishift.checkpoints import Checkpoint, canonical
from trishift.errors import CheckpointError, FrameworkError
from trishift.export import programs
from trishift.export.formats import FORMATS
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

SPEC = ModelSpec("resnet10", 3, 2, width=8, shift=ShiftSpec())
CHECKPOINT = Checkpoint(smooth_weights(SPEC), SPEC, InputSpec(resize=32, crop=32), ("a", "b", "c"))
CLIPS = np.random.default_rng(0).standard_normal((3, 2, 3, 32, 32)).astype(np.float32)

pytestmark = pytest.mark.skipif("pytorch" not in INSTALLED, reason="pytorch is not installed")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    canonical.save(path, CHECKPOINT)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A home folder with the program of the weights."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRISHIFT_HOME", str(folder))
        trishift.load(weights, runtime="pytorch")
    return folder


@pytest.fixture(autouse=True)
def use_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRISHIFT_HOME", str(home))


def refuse(*_: object) -> None:
    raise AssertionError("the program was made again")


def test_kept_program_computes_the_logits(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "export_checkpoint", refuse)
    program = trishift.load(weights, runtime="pytorch")
    assert program.labels == ("a", "b", "c")
    np.testing.assert_allclose(program(CLIPS), trishift.load(weights)(CLIPS), rtol=1e-4, atol=1e-5)


def test_damaged_program_is_made_anew(weights: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    [path] = home.glob("programs/*/program.pt2")
    path.write_bytes(path.read_bytes()[:-100])
    trishift.load(weights, runtime="pytorch")
    assert "made anew" in caplog.text


def test_key_depends_on_all_that_determines_a_program() -> None:
    torch_file, onnx = FORMATS["torch"], FORMATS["onnx"]
    other = {**CHECKPOINT.tensors, "head.fc.bias": CHECKPOINT.tensors["head.fc.bias"] + 1}
    keys = {
        programs.key(CHECKPOINT, torch_file, "pytorch", "pytorch"),
        programs.key(replace(CHECKPOINT, tensors=other), torch_file, "pytorch", "pytorch"),
        programs.key(replace(CHECKPOINT, input=InputSpec(resize=48, crop=48)), torch_file, "pytorch", "pytorch"),
        programs.key(CHECKPOINT, onnx, "onnxruntime", "pytorch"),
        programs.key(CHECKPOINT, onnx, "openvino", "pytorch"),
        programs.key(CHECKPOINT, onnx, "onnxruntime", "mindspore"),
    }
    assert len(keys) == 6


def test_unused_programs_make_room(home: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = home / "programs" / "old"
    old.mkdir()
    (old / "program.onnx").write_bytes(b"x" * 100)
    monkeypatch.setattr(programs, "BOUND", 50)
    trishift.load(weights, runtime="pytorch")
    assert not old.exists()
    assert list(home.glob("programs/*/program.pt2"))


def test_unknown_runtime_names_the_known() -> None:
    with pytest.raises(FrameworkError, match="runtime 'tflite' is unknown; one of mindspore, onnxruntime"):
        programs.format_of("tflite")


def test_weights_without_a_head_are_refused(tmp_path: Path) -> None:
    canonical.save(tmp_path / "backbone.safetensors", Checkpoint({}, None, None))
    with pytest.raises(CheckpointError, match="no head"):
        trishift.load(tmp_path / "backbone.safetensors", runtime="pytorch")
