"""`trishift export` through the command line, exported files in `eval` and `infer`, and mistakes in one line."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command, error_line

import trishift
from trishift.backends import open_session
from trishift.backends.contract import Execution
from trishift.checkpoints.canonical import Checkpoint, save
from trishift.data.dataset import DataSpec
from trishift.data.gestures import make_gestures
from trishift.errors import CheckpointError, DataError, RecipeError
from trishift.export.description import read_description
from trishift.export.opening import open_exported
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.recipe import Recipe, recipe_to_dict

UNI = ModelSpec("resnet10", 9, num_segments=4, width=8, shift=ShiftSpec(div=4, direction="unidirectional"))
PIXELS = InputSpec(resize=36, crop=(32, 36), channel_order="bgr")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips, and a checkpoint `model.safetensors` exported to ONNX in three variants."""
    folder = tmp_path_factory.mktemp("export")
    labels = make_clips(folder / "data")
    recipe = Recipe(
        model=UNI, input=PIXELS, data=DataSpec(str(folder / "data"), val_list="val.txt", labels="labels.txt")
    )
    meta = {"recipe": recipe_to_dict(recipe)}
    save(folder / "model.safetensors", Checkpoint(random_weights(UNI), UNI, PIXELS, labels, meta))
    assert export(folder) == 0
    assert export(folder, "--uint8", "--name", "pixels") == 0
    assert export(folder, "--streaming", "--name", "online") == 0
    return folder


def make_clips(folder: Path) -> tuple[str, ...]:
    make_gestures(folder, train=18, val=18, size=40, workers=2)
    return tuple((folder / "labels.txt").read_text().splitlines())


def random_weights(spec: ModelSpec) -> dict[str, np.ndarray]:
    """Weights for which logits differ between clips by more than rounding."""
    return {
        name: 20 * array if name == "head.fc.weight" else array
        for name, array in open_session("pytorch", spec, seed=1).dump_tensors().items()
    }


def export(folder: Path, *arguments: object, form: str = "onnx") -> int:
    return command("export", "--checkpoint", folder / "model.safetensors", "--format", form, *arguments)


def evaluated(folder: Path, checkpoint: Path, *arguments: object) -> tuple[dict[str, object], np.ndarray]:
    """Metrics and scores written by `trishift eval`."""
    result = folder / "eval" / "result.json"
    assert command("eval", "--checkpoint", checkpoint, "--output", result, *arguments) == 0
    summary = json.loads(result.read_text())
    with np.load(result.with_suffix(".scores.npz")) as arrays:
        scores = arrays["scores"]
    return {key: summary[key] for key in ("videos", "top1", "top5", "mean_class_accuracy", "protocol")}, scores


def test_export_output(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(folder, "--output", tmp_path / "new", form="torch") == 0
    output = capsys.readouterr().out
    assert "largest relative difference" in output
    assert f"written: {tmp_path / 'new' / 'model.pt2'}" in output
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model.pt2", "model.pt2.trishift.json"]
    content = json.loads((tmp_path / "new" / "model.pt2.trishift.json").read_text())
    assert content["program"]["inputs"] == [{"name": "clips", "shape": [None, 4, 3, 32, 36], "dtype": "float32"}]
    assert content["checkpoint"]["labels"][0] == (folder / "data/labels.txt").read_text().splitlines()[0]
    assert content["measured"]["relative"].keys() == {"1", "3"}


@pytest.mark.parametrize("name", ["model.onnx", "pixels.onnx", "online.onnx"])
def test_export_evaluates_like_its_checkpoint(folder: Path, name: str) -> None:
    metrics, scores = evaluated(folder, folder / "model.safetensors")
    assert np.ptp(scores, axis=0).max() > 0.05 * np.abs(scores).max()  # scores depend on the clips
    exported_metrics, exported_scores = evaluated(folder, folder / name)
    assert exported_metrics == metrics
    relative = exported_scores - exported_scores.mean(1, keepdims=True), scores - scores.mean(1, keepdims=True)
    assert np.abs(relative[0] - relative[1]).max() < 1e-4 * np.abs(scores).max()


def test_openvino_runs_onnx_in_float32_and_bfloat16(folder: Path) -> None:
    clips = np.random.default_rng(0).standard_normal((3, 4, 3, 32, 36), np.float32)
    logits = trishift.load(folder / "model.safetensors")(clips)
    single, _ = open_exported(folder / "model.onnx", "openvino")
    assert np.abs(single.predict(clips) - logits).max() < 1e-4 * np.abs(logits).max()
    half, _ = open_exported(folder / "model.onnx", "openvino", Execution(precision="bf16"))
    assert np.abs(half.predict(clips) - logits).max() < 0.1 * np.abs(logits).max()


def test_infer_agrees_with_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    video = next((folder / "data/val").glob("*.mp4"))
    found = []
    for name in ("model.safetensors", "pixels.onnx"):
        assert command("infer", "--checkpoint", folder / name, video, "--output", tmp_path / "out.json") == 0
        found.append(json.loads((tmp_path / "out.json").read_text())[0]["predictions"])
    assert [p["label"] for p in found[0]] == [p["label"] for p in found[1]]
    assert np.allclose(*([p["probability"] for p in predictions] for predictions in found), atol=1e-4)


def test_exported_step_streams_like_its_checkpoint(folder: Path) -> None:
    frames = np.random.default_rng(0).standard_normal((6, 2, 3, 32, 36), np.float32)
    steps = []
    for name in ("model.safetensors", "online.onnx"):
        stream = trishift.load(folder / name).stream()
        steps.append(np.stack([stream.step(frame) for frame in frames]))
    assert np.abs(steps[0] - steps[1]).max() < 1e-4 * np.abs(steps[0]).max()


def test_int8_keeps_the_classes(folder: Path) -> None:
    calibration = ("--calibration", folder / "data/val.txt", "--clips", 6)
    assert export(folder, *calibration, form="openvino-int8") == 0
    measured = read_description(folder / "model.openvino-int8").measured
    assert measured["same_class"] > 0.5
    assert measured["clips"] == 12  # the clips of the list that did not calibrate
    assert 0 < next(iter(measured["relative"].values())) < 0.5
    metrics, _ = evaluated(folder, folder / "model.openvino-int8")
    assert metrics["videos"] == 18


def test_onnx_file_contains_its_description(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "pixels.onnx", tmp_path)
    inside = read_description(tmp_path / "pixels.onnx")
    beside = read_description(folder / "pixels.onnx")
    assert beside.measured and beside.files
    assert inside == replace(beside, measured={}, files={})


# Mistakes


def test_excess_difference_writes_nothing(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pt2").write_bytes(b"old")
    assert export(folder, "--output", tmp_path, "--uint8", "--tolerance", 1e-12, form="torch") == 1
    assert "differs from the checkpoint" in error_line(capsys)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    ("arguments", "form", "expected"),
    [
        (("--framework", "paddle"), "onnx", "written by pytorch or mindspore, not by paddle"),
        ((), "openvino-int8", "give --calibration"),
        (("--calibration", "val.txt"), "onnx", "needs no calibration"),
        (("--opset", "99"), "onnx", "opset 99: torch cannot write it"),
        (("--name", "up/there"), "onnx", "must be a plain file name"),
        (("--uint8", "--calibration", "val.txt"), "openvino-int8", "remove --uint8"),
    ],
)
def test_unsupported_combinations_are_named(
    folder: Path, arguments: tuple[str, ...], form: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = folder / "data"
    paths = [str(data / argument) if argument == "val.txt" else argument for argument in arguments]
    assert export(folder, *paths, form=form) == 1
    assert expected in error_line(capsys)


@pytest.mark.parametrize(
    ("change", "arguments", "expected"),
    [
        ({"shift": ShiftSpec()}, ("--streaming",), "its shift is bidirectional"),
        ({"shift": None, "head": HeadSpec("relation", relations="sampled")}, (), "--relations expected"),
    ],
)
def test_unexportable_models_say_why(
    tmp_path: Path,
    change: dict[str, object],
    arguments: tuple[str, ...],
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = replace(UNI, **change)  # type: ignore[arg-type]
    save(tmp_path / "model.safetensors", Checkpoint(random_weights(spec), spec, PIXELS))
    assert export(tmp_path, *arguments) == 1
    assert expected in error_line(capsys)


def test_benchmark_measures_each_runtime_in_a_process(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("benchmark", "--checkpoint", folder / "model.onnx", "--rounds", 1, "--device", "cpu", "--json") == 0
    forms = json.loads(capsys.readouterr().out)["forms"]
    assert [form["form"] for form in forms] == ["onnxruntime", "openvino", "openvino bf16"]
    assert all(form["ms"] > 0 and form["memory"] > 10 for form in forms)
    assert forms[1]["difference"] < 1e-4 < forms[2]["difference"]


@pytest.mark.parametrize("name", ["onnxruntime", "nncf"])
def test_missing_runtime_names_the_extra(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None if module == name else find(module))
    if name == "nncf":
        assert export(folder, "--calibration", folder / "data/val.txt", form="openvino-int8") == 1
    else:
        assert command("eval", "--checkpoint", folder / "model.onnx") == 1
    assert "pip install '.[export]'" in error_line(capsys)


def test_wrong_segments_and_sizes_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("eval", "--checkpoint", folder / "model.onnx", "--protocol", "three") == 1
    line = error_line(capsys)
    assert "takes clips of 4 x 3 x 32 x 36, not 4 x 3 x 36 x 36" in line
    assert "--size" in line
    with pytest.raises(DataError, match="sample as many frames"):
        trishift.load(folder / "model.onnx")(np.zeros((1, 5, 3, 32, 36), np.float32))
    with pytest.raises(RecipeError, match="--streaming"):
        trishift.load(folder / "model.onnx").stream().step(np.zeros((1, 3, 32, 36), np.float32))
    with pytest.raises(CheckpointError, match="num_segments is fixed"):
        trishift.load(folder / "model.onnx", num_segments=8)


def damage(folder: Path, kind: str) -> Path:
    """A damaged copy of the exported model."""
    file, beside = folder / "model.onnx", folder / "model.onnx.trishift.json"
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:-1000])
    elif kind == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"\0")
    elif kind == "truncated alone":
        file.write_bytes(file.read_bytes()[:-1000])
        beside.unlink()
    elif kind == "no description":
        file.rename(folder / "model.mindir")
        return folder / "model.mindir"
    elif kind == "damaged description":
        beside.write_text(beside.read_text()[:100])
    elif kind == "gone":
        return folder / "gone.onnx"
    return file


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("truncated", "is truncated"),
        ("changed", "does not match its description"),
        ("truncated alone", "export it again"),
        ("no description", "model.mindir.trishift.json is missing"),
        ("damaged description", "description"),
        ("gone", "no such file"),
    ],
)
def test_damaged_exports_are_one_line(
    folder: Path, tmp_path: Path, kind: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("model.onnx", "model.onnx.trishift.json"):
        shutil.copy(folder / name, tmp_path)
    path = damage(tmp_path, kind)
    assert command("infer", "--checkpoint", path, folder / "data/val") == 1
    line = error_line(capsys)
    assert str(tmp_path) in line
    assert expected in line


@pytest.mark.parametrize("name", ["model.onnx", "pixels.onnx", "online.onnx"])
def test_exports_have_the_timelines_of_their_checkpoint(folder: Path, name: str) -> None:
    clip = next((folder / "data").rglob("*.mp4"))
    expected, found = (
        list(trishift.load(folder / each).timeline(clip, 1, 0.3)) for each in ("model.safetensors", name)
    )
    assert len(found) == len(expected) > 2
    for one, other in zip(found, expected, strict=True):
        assert (one.start, one.end) == (other.start, other.end)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
