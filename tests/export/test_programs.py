"""Programs of checkpoints are made once, verified, kept, and made anew if damaged."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from testing.weights import smooth_weights
from tests.support.installed import INSTALLED

import trishift
from trishift.backends.contract import Execution
from trishift.checkpoints import Checkpoint, canonical
from trishift.errors import CheckpointError, FrameworkError, RecipeError
from trishift.export import programs
from trishift.export.planning import ExportOptions
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.zoo.home import HomeError

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
        trishift.load(weights, runtime="pytorch")(CLIPS[:1])
    return folder


@pytest.fixture(autouse=True)
def use_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRISHIFT_HOME", str(home))


def refuse(*_: object) -> None:
    raise AssertionError("the program was made again, or something was locked or removed")


def test_kept_program_computes_the_logits(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written: a home folder that is read only serves what it has."""
    for name in ("export_checkpoint", "claimed", "_remove_unused"):
        monkeypatch.setattr(programs, name, refuse)
    program = trishift.load(weights, runtime="pytorch")
    assert program.labels == ("a", "b", "c")
    np.testing.assert_allclose(program(CLIPS), trishift.load(weights)(CLIPS), rtol=1e-4, atol=1e-5)


def test_stream_of_another_size_has_a_program_of_its_own(weights: Path, home: Path) -> None:
    path = weights.with_name("online.safetensors")
    canonical.save(path, replace(CHECKPOINT, spec=replace(SPEC, shift=ShiftSpec(direction="unidirectional"))))
    program, network = (trishift.load(path, runtime=name).stream() for name in ("pytorch", "native"))
    for frames in np.pad(CLIPS[:1, :, :, :24], [(0, 0)] * 4 + [(0, 16)]).swapaxes(0, 1):  # 24 x 48 pixels
        np.testing.assert_allclose(program.step(frames), network.step(frames), rtol=1e-4, atol=1e-5)
    assert len(list(home.glob("programs/*/program.pt2"))) == 2


def test_damaged_program_is_made_anew(weights: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    [path, *_] = sorted(home.glob("programs/*/program.pt2"), key=lambda path: path.stat().st_mtime)
    path.write_bytes(path.read_bytes()[:-100])
    trishift.load(weights, runtime="pytorch")(CLIPS)
    assert "made anew" in caplog.text


def test_home_that_cannot_be_written_names_the_variable(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "programs").write_text("a file where a folder belongs")
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path))
    with pytest.raises(HomeError, match=r"cannot be written .*set TRISHIFT_HOME"):
        trishift.load(weights, runtime="pytorch", strict=True)(CLIPS)
    model = trishift.load(weights, runtime="pytorch")
    np.testing.assert_allclose(model(CLIPS), trishift.load(weights)(CLIPS), rtol=1e-5)
    assert "set TRISHIFT_HOME to a writable folder with enough space; pytorch predicts instead" in caplog.text
    assert "program" not in model.session.last_form


def test_weights_predict_without_a_runtime_unless_strict(
    weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    with pytest.raises(FrameworkError, match="openvino is not installed"):
        trishift.load(weights, runtime="openvino", strict=True)
    assert trishift.load(weights, runtime="openvino").session.framework == "pytorch"
    assert "openvino is not installed; in the Trishift repository" in caplog.text


def test_model_that_no_program_can_express_predicts_in_its_framework(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = replace(SPEC, head=HeadSpec("multiscale_relation", 8, relations="sampled"))
    path = tmp_path / "trn.safetensors"
    canonical.save(path, replace(CHECKPOINT, spec=spec, tensors=smooth_weights(spec)))
    with pytest.raises(RecipeError, match="random draws cannot be exported"):
        trishift.load(path, runtime="pytorch", strict=True)
    np.testing.assert_array_equal(trishift.load(path, runtime="pytorch")(CLIPS), trishift.load(path)(CLIPS))
    assert "random draws cannot be exported" in caplog.text


@pytest.mark.parametrize("runtime", ["auto", "native"])
def test_missing_precision_becomes_fp32_unless_strict(
    runtime: str, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    execution = Execution(precision="tf32")
    with pytest.raises(FrameworkError, match="precision tf32: only GPUs have it"):
        trishift.load(weights, runtime=runtime, execution=execution, strict=True)
    model = trishift.load(weights, runtime=runtime, execution=execution)
    np.testing.assert_array_equal(model(CLIPS), trishift.load(weights, runtime=runtime)(CLIPS))
    assert "precision tf32: only GPUs have it; pytorch predicts in fp32" in caplog.text


def test_key_depends_on_all_that_determines_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ExportOptions("onnx", "pytorch", runtime="onnxruntime")
    keys = {
        programs.key(CHECKPOINT, "weights", options),
        programs.key(CHECKPOINT, "others", options),
        programs.key(replace(CHECKPOINT, input=InputSpec(resize=48, crop=48)), "weights", options),
        programs.key(CHECKPOINT, "weights", replace(options, format="torch", runtime="pytorch")),
        programs.key(CHECKPOINT, "weights", replace(options, runtime="openvino")),
        programs.key(CHECKPOINT, "weights", replace(options, framework="mindspore")),
        programs.key(CHECKPOINT, "weights", replace(options, streaming=True)),
    }
    assert len(keys) == 7
    monkeypatch.setattr(programs, "version_of", lambda *folders: f"other code in {folders}")
    assert programs.key(CHECKPOINT, "weights", options) not in keys


def test_unused_programs_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, name in enumerate(("current", "recent", "old", "older")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "program.onnx").write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    monkeypatch.setattr(programs, "BOUND", 250)
    programs._remove_unused(tmp_path / "current")
    assert {path.name for path in tmp_path.iterdir()} == {"current", "recent"}
    monkeypatch.setattr(programs, "BOUND", 50)
    programs._remove_unused(tmp_path / "current")
    assert {path.name for path in tmp_path.iterdir()} == {"current"}


def test_unknown_runtime_names_the_known() -> None:
    with pytest.raises(FrameworkError, match="runtime 'tflite' is unknown; one of mindspore, onnxruntime"):
        programs.format_of("tflite")


def test_weights_without_a_head_are_refused(tmp_path: Path) -> None:
    canonical.save(tmp_path / "backbone.safetensors", Checkpoint({}, None, None))
    with pytest.raises(CheckpointError, match="no head"):
        trishift.load(tmp_path / "backbone.safetensors", runtime="pytorch")
