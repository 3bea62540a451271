"""`trishift calibrate`, and the commands that use what it stores."""

from __future__ import annotations

import errno
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command, error_line
from tests.support.tiny import write_recipe

import trishift
from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical, import_weights
from trishift.checkpoints.training_state import TrainingState, load_state, save_state
from trishift.data.gestures import CLASSES
from trishift.evaluation.calibration import stored_calibration
from trishift.evaluation.evaluator import Evaluation
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.model.tensors import tensor_shapes
from trishift.recipe import load_recipe, recipe_to_dict
from trishift.reporting.evaluation import write_result, write_scores

SPEC = ModelSpec("resnet10", 9, 4, width=4, shift=ShiftSpec(4))
PIXELS = InputSpec(resize=36, crop=32)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, gestures: Path) -> Checkpoint:
    """An untrained and very confident model of the gestures."""
    recipe = write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.yaml", gestures)
    tensors = open_session("pytorch", SPEC).dump_tensors()
    tensors["head.fc.weight"] *= 300
    return Checkpoint(tensors, SPEC, PIXELS, tuple(CLASSES), {"recipe": recipe_to_dict(load_recipe(recipe))})


@pytest.fixture
def weights(fresh: Checkpoint, tmp_path: Path) -> Path:
    canonical.save(tmp_path / "model.safetensors", fresh)
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of an evaluation of an overconfident model on 200 videos."""
    rng = np.random.default_rng(0)
    targets = rng.integers(9, size=200)
    logits = 3 * (2 * np.eye(9)[targets] + rng.normal(size=(200, 9))).astype(np.float32)
    names = [f"{number}.mp4" for number in range(200)]
    evaluation = Evaluation("1 uniform clip x 1 crop, training size", tuple(CLASSES), names, logits, targets, [])
    path = tmp_path_factory.mktemp("scores") / "result.json"
    write_scores(evaluation, path.with_suffix(".scores.npz"))
    write_result(evaluation, path)
    return path


def infer(weights: Path, gestures: Path, output: Path, *arguments: object) -> list[dict]:
    videos = sorted((gestures / "val").glob("*.mp4"))[:2]
    assert command("infer", *videos, "--checkpoint", weights, "--output", output, *arguments) == 0
    return json.loads(output.read_text())


def test_commands_use_a_calibration(
    weights: Path, gestures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = infer(weights, gestures, tmp_path / "before.json")
    assert command("eval", "--checkpoint", weights, "--output", tmp_path / "raw.json") == 0
    assert command("calibrate", "--checkpoint", weights, "--precision", 0.9) == 1
    assert "calibration: the list has 18 videos, too few to" in error_line(capsys)
    assert command("calibrate", "--checkpoint", weights, "--precision", 0.9, "--force") == 0
    out = capsys.readouterr().out
    assert "the logits say nothing" in out and "too few to" in out and "9 classes have 0.9 itself" in out
    model = trishift.load(weights)
    assert model.calibration.temperature > 2 and model.thresholds is not None
    assert model.thresholds.tolist() == [0.9] * 9

    after = infer(weights, gestures, tmp_path / "after.json")
    assert [row["labels"] for row in after] == [[], []]
    assert [row["predictions"][0]["label"] for row in after] == [row["predictions"][0]["label"] for row in before]
    assert f"{next(iter(after))['video']}: nothing; " in capsys.readouterr().out
    assert model.predict(after[0]["video"]).predicted == ()
    assert model.predict(after[0]["video"]).top(1)[0][1] == pytest.approx(after[0]["predictions"][0]["probability"])
    assert infer(weights, gestures, tmp_path / "raw-again.json", "--raw") == before
    assert (tmp_path / "raw-again.json").read_bytes() == (tmp_path / "before.json").read_bytes()
    moment = next(iter(model.timeline(after[0]["video"], window=60)))
    assert moment.probabilities.max() == pytest.approx(after[0]["predictions"][0]["probability"])
    assert infer(weights, gestures, tmp_path / "low.json", "--thresholds", 0.01)[0]["labels"]

    assert command("eval", "--checkpoint", weights, "--output", tmp_path / "calibrated.json") == 0
    captured = capsys.readouterr()
    assert "at temperature" in captured.out
    raw, calibrated = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("raw", "calibrated"))
    assert calibrated["top1"] == raw["top1"] and calibrated["raw_nll"] == raw["nll"] > calibrated["nll"]
    assert command("infer", after[0]["video"], "--checkpoint", weights, "--protocol", "2x1") == 0
    assert "calibrated for 1 uniform clip x 1 crop, training size, not for 2" in capsys.readouterr().err


def test_scores_replace_the_videos(weights: Path, scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("calibrate", "--checkpoint", weights, "--scores", scores) == 0
    assert "after, on videos of 5 folds that were not fitted to" in capsys.readouterr().out
    entry = canonical.load(weights).meta["calibration"]
    assert entry["temperature"] == pytest.approx(1.5, rel=0.1)  # 3 / 2: such classes have log-odds of 2 x
    assert len(entry["thresholds"]) == 9
    assert entry["after"]["calibration_error"] < entry["before"]["calibration_error"]
    assert entry["protocol"] == "1 uniform clip x 1 crop, training size"
    found = stored_calibration(canonical.load(weights).meta, SPEC)
    assert (found.temperature, found.protocol) == (entry["temperature"], entry["protocol"])


def test_training_state_and_links_stay(fresh: Checkpoint, scores: Path, tmp_path: Path) -> None:
    path, link = tmp_path / "last.safetensors", tmp_path / "link.safetensors"
    state = TrainingState(2, 0, 51, 1, {"momentum.head.fc.bias": np.ones(9, np.float32)}, {}, [])
    save_state(path, fresh, state)
    link.symlink_to(path)
    assert command("calibrate", "--checkpoint", link, "--scores", scores) == 0
    assert link.is_symlink()
    checkpoint, kept = load_state(path)
    assert kept.optimizer["momentum.head.fc.bias"].tolist() == [1] * 9 and kept.iteration == 51
    assert "calibration" in checkpoint.meta and checkpoint.meta["recipe"] == fresh.meta["recipe"]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".ckpt", ".pdparams"])
def test_calibration_travels_with_the_weights(
    weights: Path, scores: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    new, converted = tmp_path / f"new{suffix}", tmp_path / "converted.safetensors"
    before = weights.read_bytes()
    arguments = ("calibrate", "--checkpoint", weights, "--scores", scores, "--output", new)
    assert command(*arguments) == 0
    assert weights.read_bytes() == before
    assert command(*arguments) == 1
    assert "already exists; --force replaces it" in error_line(capsys)
    assert command("calibrate", "--checkpoint", new, "--scores", scores, "--precision", 0.5) == 0  # in place
    assert command("convert", new, converted) == 0
    stored = [import_weights(path)[0].meta["calibration"] for path in (new, converted)]
    assert stored[0] == stored[1] and stored[0]["precision"] == 0.5


def test_what_drops_a_calibration_says_so(
    weights: Path, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert command("calibrate", "--checkpoint", weights, "--scores", scores) == 0
    spec, meta = ModelSpec("mobilenet_v2", 9, 8, shift=ShiftSpec(8)), canonical.load(weights).meta
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(spec).items()}
    canonical.save(tmp_path / "mobile.safetensors", Checkpoint(tensors, spec, InputSpec(), tuple(CLASSES), meta))
    assert command("convert", tmp_path / "mobile.safetensors", tmp_path / "foreign.pth", "--to-dialect", "tsm") == 0
    assert "note: the calibration is left out: files of tsm have no place for it" in capsys.readouterr().out
    with caplog.at_level(logging.WARNING):
        checkpoint, _ = import_weights(weights, num_segments=8)
    assert "calibration" not in checkpoint.meta and "its calibration is ignored" in caplog.text


def test_entries_of_later_versions_are_ignored_but_kept(
    fresh: Checkpoint, weights: Path, scores: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors, metadata = canonical.read_safetensors(weights)
    description = json.loads(metadata["trishift"])
    description["meta"]["mood"] = "fine"
    canonical.write_safetensors(weights, tensors, {"trishift": json.dumps(description)})
    with caplog.at_level(logging.WARNING):
        assert canonical.load(weights).meta == fresh.meta
    assert "written by a newer Trishift; ignored: mood" in caplog.text
    assert command("calibrate", "--checkpoint", weights, "--scores", scores) == 0
    assert json.loads(canonical.read_safetensors(weights)[1]["trishift"])["meta"]["mood"] == "fine"


def test_names_clips_of_the_training_list(weights: Path, gestures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        command(
            "calibrate", "--checkpoint", weights, "--filelist", gestures / "train.txt", "--batch-size", 36, "--force"
        )
        == 0
    )
    assert "warning: 36 of 36 videos are in the training list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "1"], "--precision 1: must lie between 0 and 1"),
        (["--precision", "nan"], "--precision nan: must lie between 0 and 1"),
        (["--filelist", "{folder}/none.txt"], "none.txt"),
        (["--filelist", "{folder}/empty.txt"], "the list is empty"),
        (["--filelist", "{folder}/paths.txt"], "paths.txt:1"),
        (["--filelist", "{folder}/one.csv"], "the list has 1 video, too few"),
        (["--filelist", "{folder}/one.csv", "--force"], "all videos have the same class"),
        (["--scores", "{folder}/few.scores.npz"], "the list has 2 videos in 2 groups, too few to"),
        (["train.epochs=x"], "override 'train.epochs=x': train.epochs: input should be a valid integer"),
        (["--filelist", "{folder}/wrong.csv"], "wrong.csv:2"),
        (["--filelist", "{folder}/one.csv", "--scores", "result.json"], "--filelist: has no effect"),
        (["--scores", "{folder}/none.json"], "none.json"),
        (["--scores", "{folder}/two.scores.npz"], "has other classes than the checkpoint"),
        (["--scores", "{folder}/several.scores.npz"], "has several labels per video, but the model one label"),
        (["--scores", "{folder}/nan.scores.npz"], "infinite or not numbers"),
        (["--num-segments", "8"], "--num-segments: "),
        (["--output", "{folder}/new"], "add a suffix"),
        (["--output", "{folder}/new.onnx"], "no weight format has the suffix"),
        (["--output", "{folder}/empty.txt/new.pth"], "its folder does not exist"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(
    weights: Path,
    gestures: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = next((gestures / "val").glob("*.mp4"))
    texts = {
        "empty.txt": "",
        "paths.txt": f"{clip}\n",
        "one.csv": f"path,label\n{clip},1\n",
        "wrong.csv": f"path,label\n{clip},11\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    rows = {
        "two": (np.zeros((2, 2)), [0, 1]),
        "several": (np.zeros((2, 9)), np.eye(9)[:2]),
        "few": (np.eye(9)[:2], [0, 1]),
    }
    for name, (logits, targets) in {**rows, "nan": (np.full((2, 9), np.nan), [0, 1])}.items():
        labels = np.array(CLASSES[: logits.shape[1]])
        np.savez(tmp_path / f"{name}.scores.npz", names=["a", "b"], scores=logits, targets=targets, labels=labels)
    before = weights.read_bytes()
    words = [word.format(folder=tmp_path) for word in arguments]
    assert command("calibrate", "--checkpoint", weights, *words) == 1
    assert message in error_line(capsys)
    assert weights.read_bytes() == before


def test_refuses_weights_that_it_cannot_change(
    fresh: Checkpoint, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canonical.write_safetensors(tmp_path / "foreign.safetensors", fresh.tensors, {})
    assert command("calibrate", "--checkpoint", tmp_path / "foreign.safetensors", "--scores", scores) == 1
    assert "name a new file with --output" in error_line(capsys)
    (tmp_path / "model.onnx").touch()
    assert command("calibrate", "--checkpoint", tmp_path / "model.onnx", "--scores", scores) == 1
    assert "is an exported model; calibrate its checkpoint and export that again" in error_line(capsys)
    headless = replace(SPEC, num_classes=0, head=HeadSpec())
    tensors = {name: array for name, array in fresh.tensors.items() if not name.startswith("head.")}
    canonical.save(tmp_path / "headless.safetensors", Checkpoint(tensors, headless, PIXELS))
    assert command("calibrate", "--checkpoint", tmp_path / "headless.safetensors", "--scores", scores) == 1
    assert "has no head" in error_line(capsys)


def test_full_disk_leaves_the_weights_untouched(
    weights: Path, scores: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = weights.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert command("calibrate", "--checkpoint", weights, "--scores", scores) == 1
    assert "cannot be written (No space left on device)" in error_line(capsys)
    assert weights.read_bytes() == before
