"""The speed of a model: forms that run and agree, forms that cannot run, and the table with the fastest marked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command, error_line
from tests.support.installed import MISSING

from trishift import speed
from trishift.backends.contract import Execution
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.commands.benchmark import report
from trishift.model.initialization import initial_tensors
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.speed import Form, Measured, Speed, forms_of, measure_speed

SPEC = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(div=4))
PIXELS = InputSpec(resize=32, crop=32)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save(tmp_path / "w.safetensors", Checkpoint(initial_tensors(SPEC, 0), SPEC, PIXELS))
    return tmp_path / "w.safetensors"


@pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
def test_forms_agree_or_say_why_not(weights: Path) -> None:
    other = Form("pytorch", settings=(("channels_last", False),))
    forms = [Form("pytorch"), other, Form("tensorrt", "program")]
    measured = measure_speed(weights, forms=forms, batch_size=2, rounds=2, device="cpu", apart=False)
    first, second, refused = measured.speeds
    assert (first.form, second.form, refused.form) == ("pytorch", "pytorch no channels_last", "tensorrt")
    assert first.difference == 0 and second.difference is not None and second.difference < 1e-4
    assert second.same_class and first.ms and second.ms and first.device == "cpu"
    assert refused.ms is None and "'tensorrt' is unknown" in refused.reason
    assert measured.fastest in (first, second)
    assert measured.parameters == sum(
        array.size for name, array in initial_tensors(SPEC, 0).items() if "running" not in name
    )


def test_forms_cover_frameworks_and_runtimes(weights: Path) -> None:
    names = [str(form) for form in forms_of(weights)]
    assert names[:4] == ["pytorch", "pytorch bf16 channels_last", "pytorch native", "pytorch compiled"]
    assert {"mindspore compiled", "onnxruntime", "openvino bf16", "mindspore program"} <= set(names)
    assert [str(form) for form in forms_of(weights, ["paddle"])] == [
        *("paddle", "paddle native", "paddle compiled", "paddle program")
    ]


class Fake:
    """A model without a framework, slower in one form than in the other."""

    def __init__(self, path: Path, framework: str, **options: object) -> None:
        execution = options["execution"]
        self.bias = 0.5 if isinstance(execution, Execution) else 0.0

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        return np.array([[2.0, 1.0 + 3 * self.bias]] * len(clips), np.float32)


def test_a_form_with_another_class_is_marked(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "load", Fake)
    forms = [Form("pytorch"), Form("pytorch", settings=(("precision", "bf16"),))]
    first, second = measure_speed(weights, forms=forms, rounds=1, device="cpu", apart=False).speeds
    assert first.same_class and not second.same_class and second.difference == 0.75


def test_table_marks_the_fastest() -> None:
    speeds = [
        Speed("pytorch", "cpu", 20.0, 500.0, 0.0, True),
        Speed("openvino bf16", "cpu", 5.0, 300.0, 0.01, False),
        Speed("paddle", reason="paddle is not installed; pip install"),
    ]
    lines = list(report(Measured(SPEC, PIXELS, 1, 80_000, 2_000_000, speeds)))
    assert lines[1] == "0.08 M parameters, 0.00 G multiplications per clip"
    assert lines[4].split() == ["*", "openvino", "bf16", "cpu", "5", "200", "300", "1e-02,", "other", "class"]
    assert lines[5].split()[:2] == ["pytorch", "cpu"]
    assert lines[6].split() == ["-", "paddle", *["paddle", "is", "not", "installed;", "pip", "install"]]
    assert lines[7] == "* fastest: openvino bf16; differences are relative to pytorch"


def test_command_prints_json(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(path: Path, **options: object) -> Measured:
        assert options["batch_size"] == 2 and options["forms"] == [
            Form("mindspore"),
            Form("mindspore", "native"),
            Form("mindspore", "compiled"),
            Form("mindspore", "program"),
        ]
        return Measured(SPEC, PIXELS, 2, 1, 2, [Speed("mindspore", "cpu", 3.0, 1.0, 0.0, True)])

    monkeypatch.setattr(speed, "measure_speed", measured)
    assert command("benchmark", "--checkpoint", weights, "--only", "mindspore", "--batch-size", 2, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["fastest"] == "mindspore" and printed["forms"][0]["ms"] == 3.0
    assert command("benchmark", "--checkpoint", weights, "--rounds", 0) == 1
    assert error_line(capsys) == "error: --rounds must be 1 or more, not 0"
