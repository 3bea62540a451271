"""End-to-end conversion: destinations, verification, origin, and the commands."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from testing import originals
from tests.support.paths import ROOT

from trishift.checkpoints import Checkpoint, convert, import_weights, inspect_weights
from trishift.checkpoints.canonical import save
from trishift.checkpoints.training_state import TrainingState, save_state
from trishift.checkpoints.verification import verify, with_classifier
from trishift.errors import CheckpointError, FrameworkError, TrishiftError
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.model.tensors import tensor_table

SMALL = ModelSpec("resnet10", 4, 2, width=8, shift=ShiftSpec(div=4))
SMALL_INPUT = InputSpec(resize=32, crop=32)


def model_of(spec: ModelSpec, **fields: Any) -> Checkpoint:
    rng = np.random.default_rng(1)
    tensors = {t.name: rng.uniform(0.1, 0.5, t.shape).astype(np.float32) for t in tensor_table(spec)}
    return Checkpoint(tensors, spec, SMALL_INPUT, **fields)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.safetensors"
    save(path, model_of(SMALL, labels=("a", "b", "c", "d")))
    return path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    shapes = originals.tsm_resnet(18, shift="blockres", width=8, classes=27)
    tensors = {n: np.full(s, 0.1 + i % 7 / 10, np.float32) for i, (n, s) in enumerate(shapes.items())}
    return originals.write_torch(tmp_path / "tsm_segment4.pth.tar", {"state_dict": tensors, "epoch": 7})


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".pdparams"])
def test_result_records_its_origin(suffix: str, original: Path, tmp_path: Path) -> None:
    convert(original, tmp_path / f"result{suffix}")
    checkpoint, _ = import_weights(tmp_path / f"result{suffix}")
    assert checkpoint.meta["origin"] == {
        "file": "tsm_segment4.pth.tar",
        "format": "PyTorch zip",
        "dialect": "tsm",
        "sha256": hashlib.sha256(original.read_bytes()).hexdigest(),
    }
    assert checkpoint.meta["epoch"] == 7
    assert checkpoint.spec == ModelSpec("resnet18", 27, 4, width=8, shift=ShiftSpec())
    assert checkpoint.labels[0] == "Doing other things"


def test_existing_destination_needs_force(source: Path, tmp_path: Path) -> None:
    destination = tmp_path / "precious.ckpt"
    destination.write_text("precious")
    with pytest.raises(CheckpointError, match="already exists; --force"):
        convert(source, destination)
    assert destination.read_text() == "precious"
    convert(source, destination, force=True)
    assert import_weights(destination)[0].spec == SMALL


def test_failed_conversion_keeps_existing_destination(tmp_path: Path) -> None:
    destination = tmp_path / "precious.ckpt"
    destination.write_text("precious")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 half a zip")
    with pytest.raises(CheckpointError, match="not a complete"):
        convert(tmp_path / "broken.pth", destination, force=True)
    assert destination.read_text() == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["broken.pth", "precious.ckpt"]


def test_force_follows_links(source: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "real.ckpt", tmp_path / "link.ckpt"
    link.symlink_to(target)
    convert(source, link)  # a link whose file does not exist yet
    assert link.is_symlink() and import_weights(target)[0].spec == SMALL
    target.write_text("old")
    convert(source, link, force=True)
    assert link.is_symlink() and import_weights(target)[0].spec == SMALL


@pytest.mark.parametrize(
    ("lost", "problem"),
    [("new_fc.weight", "unexpected"), ("new_fc.bias", r"missing head\.fc\.bias"), ("new_fc.", "unexpected")],
)
def test_partial_conversion_with_an_incomplete_head_keeps_the_backbone(lost: str, problem: str, tmp_path: Path) -> None:
    path = partial(tmp_path, lost)
    with pytest.raises(CheckpointError, match=problem):
        convert(path, tmp_path / "w.safetensors", num_segments=4)
    conversion = convert(path, tmp_path / "w.safetensors", num_segments=4, allow_partial=True)
    assert conversion.report.unexpected
    checkpoint, report = import_weights(tmp_path / "w.safetensors")
    assert report.complete
    assert checkpoint.spec is not None and checkpoint.spec.num_classes == 0


@pytest.mark.parametrize(
    "lost", ["base_model.conv1.weight", "base_model.layer3.1.bn2.running_var", "base_model.layer4."]
)
def test_partial_conversion_without_a_complete_backbone_writes_nothing(lost: str, tmp_path: Path) -> None:
    path = partial(tmp_path, lost)
    with pytest.raises(CheckpointError, match=r"lacks \d+ of \d+ tensors, for example backbone.*; nothing was written"):
        convert(path, tmp_path / "w.safetensors", num_segments=4, allow_partial=True)
    assert not (tmp_path / "w.safetensors").exists()


def test_partial_conversion_skips_unexpected_tensors(tmp_path: Path) -> None:
    convert(partial(tmp_path, "nothing"), tmp_path / "w.safetensors", num_segments=4, allow_partial=True)
    assert import_weights(tmp_path / "w.safetensors")[1].complete


def partial(folder: Path, lost: str) -> Path:
    """A TSM file without the tensors whose names start with `lost`, and with one too many."""
    shapes = originals.tsm_resnet(18, shift="blockres", width=8, classes=7, prefix="")
    tensors = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items() if not name.startswith(lost)}
    return originals.write_torch(
        folder / "part.pth", {"state_dict": {**tensors, "extra.weight": np.ones(3, np.float32)}}
    )


@pytest.mark.parametrize(
    ("destination", "options", "message"),
    [
        ("missing/w.ckpt", {}, "folder does not exist"),
        ("w.onnx", {}, "has the suffix '.onnx'"),
        ("w", {}, "add a suffix"),
        ("w.ckpt", {"framework": "paddle"}, "has the suffix of a mindspore file, but framework is paddle"),
        ("w.ckpt", {"framework": "jax"}, "'jax' is unknown"),
        ("w.ckpt", {"backbone": "bn_inception"}, "holds resnet10, not bn_inception"),
        ("w.ckpt", {"num_segment": 3}, "unknown option 'num_segment'"),
        ("source.safetensors", {"force": True}, "is the source itself"),
    ],
)
def test_invalid_conversions_write_nothing(
    destination: str, options: dict[str, object], message: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrishiftError, match=message):
        convert(source, tmp_path / destination, **options)
    assert [entry.name for entry in tmp_path.iterdir()] == ["source.safetensors"]


def test_rejects_missing_source(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        convert(tmp_path / "none.pth", tmp_path / "w.ckpt")


def test_verified_conversion_reports_differences(source: Path, tmp_path: Path) -> None:
    conversion = convert(source, tmp_path / "w.pth", framework="pytorch", verify=True)
    assert [difference.framework for difference in conversion.differences] == ["pytorch"]
    assert conversion.differences[0].relative <= 1e-6
    assert "max absolute difference" in str(conversion)


def test_verification_detects_wrong_result(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that mirrors the shift has the right names and shapes; only running it reveals the error."""
    from dataclasses import replace

    from trishift.checkpoints import conversion

    def write_mirrored(path: Path, checkpoint: Checkpoint) -> None:
        mirrored = replace(checkpoint, spec=replace(SMALL, shift=ShiftSpec(div=4, order="past_first")))
        save(path, mirrored)

    monkeypatch.setattr(conversion, "write_native", write_mirrored)
    with pytest.raises(CheckpointError, match="differs from the source by more than"):
        convert(source, tmp_path / "w.safetensors", framework="pytorch", verify=True)


def test_backbone_alone_can_be_verified() -> None:
    headless = model_of(ModelSpec("resnet10", 0, 1, width=8))
    assert not any(name.startswith("head.") for name in headless.tensors)
    complete = with_classifier(headless)
    assert {name: array.shape for name, array in complete.tensors.items()} == {
        info.name: info.shape for info in tensor_table(complete.spec)
    }
    assert complete.tensors["head.fc.weight"].sum() == pytest.approx(1)


def test_missing_framework_is_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mindspore" else find_spec(name))
    with pytest.raises(FrameworkError, match="mindspore is not installed"):
        convert(source, tmp_path / "w.ckpt", verify=True)


def test_num_segments_can_change_unless_a_layer_depends_on_it(source: Path, tmp_path: Path) -> None:
    assert import_weights(source, num_segments=6)[0].spec.num_segments == 6
    relations = ModelSpec("resnet10", 4, 3, width=8, head=HeadSpec("multiscale_relation"))
    save(tmp_path / "trn.safetensors", model_of(relations))
    assert import_weights(tmp_path / "trn.safetensors", relations="first")[0].spec.head.relations == "first"
    with pytest.raises(CheckpointError, match="num_segments=6, but the weights say 3"):
        import_weights(tmp_path / "trn.safetensors", num_segments=6)


def test_rejects_canonical_file_with_missing_tensors(tmp_path: Path) -> None:
    checkpoint = model_of(SMALL)
    del checkpoint.tensors["backbone.bn1.bias"]
    save(tmp_path / "w.safetensors", checkpoint)
    with pytest.raises(CheckpointError, match=r"missing backbone\.bn1\.bias"):
        import_weights(tmp_path / "w.safetensors")


def test_name_table_lists_every_tensor(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trishift.commands import inspect

    inspect.main([str(original), "--names"])
    foreign = originals.tsm_resnet(18, shift="blockres", width=8, classes=27)
    table = dict(row.split() for row in capsys.readouterr().out.splitlines()[-len(foreign) :])
    assert set(table) == set(foreign)
    canonical = [name for name in table.values() if name != "-"]
    assert canonical == [info.name for info in tensor_table(import_weights(original)[0].spec)]
    assert table["module.base_model.layer1.0.conv1.net.weight"] == "backbone.layer1.0.conv1.weight"
    assert table["module.base_model.bn1.num_batches_tracked"] == "-"


def test_inspection(source: Path, original: Path, tmp_path: Path) -> None:
    text = str(inspect_weights(original))
    assert "PyTorch zip" in text and "temporal-shift-module" in text and "epoch: 7" in text
    assert "num_segments=4 (from the file's name)" in text and "labels: Doing other things" in text
    unnamed = original.rename(tmp_path / "unnamed.pth")
    text = str(inspect_weights(unnamed))
    assert "temporal-shift-module (TSN, TSM), resnet18; " in text and "set num_segments=" in text
    save_state(tmp_path / "last.safetensors", model_of(SMALL), TrainingState(0, 0, 0, 1, {"backbone.b": np.ones(2)}))
    inspection = inspect_weights(tmp_path / "last.safetensors")
    assert inspection.tensors == len(tensor_table(SMALL)) and "can be resumed" in str(inspection)
    with pytest.raises(CheckpointError, match="is empty"):
        (tmp_path / "empty.pth").touch()
        inspect_weights(tmp_path / "empty.pth")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)


def test_scripts_report_and_set_exit_status(original: Path, tmp_path: Path) -> None:
    done = command("convert/checkpoint.py", original, tmp_path / "w.ckpt", "--framework", "mindspore")
    assert done.returncode == 0, done.stderr
    assert "102 tensors matched, 102 renamed" in done.stdout and "written:" in done.stdout
    again = command("convert/checkpoint.py", original, tmp_path / "w.ckpt")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "--force" in again.stderr
    wrong = command("convert/bn_inception.py", original, tmp_path / "b.ckpt", "--framework", "mindspore")
    assert wrong.returncode == 1 and "holds resnet18, not bn_inception" in wrong.stderr
    assert not (tmp_path / "b.ckpt").exists()


def test_shell_script_needs_both_arguments() -> None:
    done = subprocess.run(["bash", "scripts/convert_bn_inception.sh", "one"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "usage: " in done.stderr


def test_logits_that_are_not_finite_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def computed(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        started.append(command[3])
        for file in command[5:]:
            logits = np.full((1, 2), np.nan if command[3] == "paddle" else 1, np.float32)
            np.save(Path(file).with_suffix(".npy"), logits)
        return subprocess.CompletedProcess(command, 0, "cpu\n", "")

    monkeypatch.setattr("trishift.checkpoints.verification.check_framework", lambda name: None)
    monkeypatch.setattr("trishift.checkpoints.verification.subprocess.run", computed)
    model = originals.model_of(ModelSpec("resnet10", 2, 2, width=8))
    assert [each.relative for each in verify(model, model, ["pytorch", "mindspore"])] == [0, 0]
    assert started == ["pytorch", "mindspore"]  # each once
    with pytest.raises(CheckpointError, match="paddle: the logits of a random clip are not finite"):
        verify(model, model, ["mindspore", "paddle"])
