"""`--device`: names from every framework, the automatic choice, and one GPU of several."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import pytest
from tests.support.command_line import command
from tests.support.installed import INSTALLED

from trishift.backends import find_device
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.report import ConversionReport
from trishift.cli import COMMANDS
from trishift.commands.shared import devices
from trishift.commands.shared.devices import device_of
from trishift.errors import FrameworkError, RecipeError
from trishift.export.formats import FORMATS
from trishift.recipe import Recipe
from trishift.zoo.sources import WeightSource

WITHOUT_MODEL = {
    *("config", "doctor", "fuse", "inspect", "merge", "models", "prepare", "publish", "push", "timeline-eval"),
    *("compare", "completion", "report"),
    "check",  # compares on the CPU
}


def options(device: str, checkpoint: str = "model.safetensors", runtime: str = "auto") -> Namespace:
    return Namespace(device=device, framework="pytorch", checkpoint=WeightSource(checkpoint), runtime=runtime)


@pytest.mark.parametrize(
    ("name", "device"),
    [("cpu", "cpu"), ("gpu", "gpu"), ("cuda", "gpu"), ("npu", "ascend"), ("ascend", "ascend")],
)
def test_names_of_every_framework_are_known(name: str, device: str) -> None:
    said: list[str] = []
    assert device_of(options(name), said.append) == device
    assert not said


@pytest.mark.parametrize(
    ("name", "visible", "expected"),
    [("cuda:0", None, "0"), ("cuda:1", None, "1"), ("gpu:3", None, "3"), ("cuda:1", "4,6", "6"), ("cuda:0", "5", "5")],
)
def test_a_number_selects_one_of_the_visible_gpus(
    name: str, visible: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert device_of(options(name)) == "gpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mps", "results on Apple GPUs have never been compared"),
        ("tpu", "is unknown; use auto, cpu"),
        ("cpu:1", "is unknown"),
        ("cuda:", "is unknown"),
        ("cuda:x", "is unknown"),
        ("cuda:-1", "is unknown"),
        ("npu:1", "ASCEND_RT_VISIBLE_DEVICES"),
        ("cuda:2", "has only 2 GPUs, numbered from 0"),
    ],
)
def test_rejects_other_devices(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(RecipeError, match=message):
        device_of(options(name))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


@pytest.mark.parametrize("found", ["cpu", "gpu", "ascend"])
def test_automatic_choice_is_announced_in_one_line(found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_device", lambda framework: found)
    monkeypatch.setattr(devices, "find_runtime_device", lambda runtime: f"{found} of {runtime}")
    targets = {known.suffix: known for known in FORMATS.values()}
    monkeypatch.setattr(devices, "describe", lambda path: Namespace(format=targets[path.suffix]))
    monkeypatch.chdir(tmp_path)
    for name in ("model.safetensors", "m.onnx", "m.openvino-int8"):
        Path(name).touch()
    said: list[str] = []
    assert device_of(options("auto"), said.append) == found
    assert device_of(options("auto", "m.onnx"), said.append) == f"{found} of onnxruntime"
    assert device_of(options("auto", "m.onnx", "openvino"), said.append) == f"{found} of openvino"
    assert device_of(options("auto", "m.openvino-int8"), said.append) == f"{found} of openvino"
    assert len(said) == 4 and all(line.startswith(f"device: {found}") and "\n" not in line for line in said)


def test_pytorch_finds_what_torch_finds() -> None:
    import torch

    assert "pytorch" in INSTALLED
    assert find_device("pytorch") == ("gpu" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_MODEL))
def test_every_command_that_runs_a_model_has_the_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(name, "--help") == 0
    assert "auto, cpu, gpu, cuda" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "device", "said"),
    [
        ([], "gpu", True),
        (["execution.device=cpu"], "cpu", False),
        (["--device", "cpu"], "cpu", False),
        (["--device", "npu", "execution.device=cpu"], "ascend", False),
        (["--device", "auto", "execution.device=cpu"], "gpu", True),
    ],
)
def test_training_runs_on_the_option_then_the_recipe_then_the_best_device(
    arguments: list[str], device: str, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen: list[Recipe] = []
    monkeypatch.setattr(devices, "find_device", lambda framework: "gpu")
    monkeypatch.setattr("trishift.training.run.train", lambda recipe, *_, **__: chosen.append(recipe))
    assert command("train", "--config", "gestures/tsm", *arguments) == 0
    assert chosen[0].execution.device == device
    assert ("device: gpu (chosen automatically for pytorch" in capsys.readouterr().err) == said


def test_exports_are_compared_on_the_cpu_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compared: list[str] = []
    monkeypatch.chdir(tmp_path)
    Path("x.pth").touch()
    monkeypatch.setattr(
        "trishift.checkpoints.import_weights", lambda path: (Checkpoint({}), ConversionReport("x", "x"))
    )
    monkeypatch.setattr(
        "trishift.export.writing.export_checkpoint",
        lambda checkpoint, options, *_: compared.append(options.device) or Namespace(path="x.onnx"),
    )
    (tmp_path / "x.pth").touch()
    for arguments in ([], ["--device", "cuda"]):
        assert (
            command("export", "--checkpoint", tmp_path / "x.pth", "--format", "onnx", "--output", tmp_path, *arguments)
            == 0
        )
    assert compared == ["cpu", "gpu"]
    assert capsys.readouterr().err.count("device: cpu (") == 1


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_MODEL - {"curve", "probe", "finetune"}))
def test_every_command_refuses_a_device_before_the_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").touch()
    arguments = {
        "train": ["--config", "gestures/tsm"],
        "stream": ["0", "--checkpoint", "x"],
        "export": ["--checkpoint", "x", "--format", "onnx"],
        "convert": ["x.pth", "x.safetensors"],
        "quickstart": [],
        "features": ["--checkpoint", "x", "--output", "features", "x.mp4"],
        "infer": ["--checkpoint", "x", "x.mp4"],
        "timeline": ["--checkpoint", "x", "x.mp4"],
        "explain": ["--checkpoint", "x", "x.mp4"],
        "serve": ["x"],
    }.get(name, ["--checkpoint", "x"])
    assert command(name, *arguments, "--device", "mps") == 1
    assert "results on Apple GPUs have never been compared" in capsys.readouterr().err


def test_missing_runtime_leaves_the_device_to_the_framework(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(runtime: str) -> None:
        raise FrameworkError(f"{runtime} is not installed")

    (tmp_path / "model.safetensors").touch()
    monkeypatch.setattr(devices, "find_runtime_device", missing)
    monkeypatch.setattr(devices, "find_device", lambda framework: f"device of {framework}")
    chosen = options("auto", str(tmp_path / "model.safetensors"), "openvino")
    chosen.strict = False
    assert device_of(chosen, [].append) == "device of pytorch"
    chosen.strict = True
    with pytest.raises(FrameworkError, match="openvino is not installed"):
        device_of(chosen, [].append)
