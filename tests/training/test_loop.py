"""The training loop end to end on a handful of gesture clips: exact resume, interruption, fine-tuning, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.support.tiny import write_recipe

from trishift.checkpoints.training_state import load_state
from trishift.errors import CheckpointError, DataError, OutputError, RecipeError, TrainingError, TrishiftError
from trishift.recipe import Recipe, load_recipe
from trishift.training.run import train
from trishift.training.run_folder import final_weights
from trishift.training.sinks import MetricsLog

LONG = ["train.epochs=8", "data.balance=class"]
MODEL = {"dropout": 0.3}
AUGMENTATION = {
    **{"scales": [1.0, 0.75], "flip": "swap_labels", "speed": [0.5, 1], "reverse": "swap_labels"},
    **{"rand_augment": {"operations": 1}, "color": {"brightness": 0.2}, "erasing": {"probability": 0.2}},
}
DATA = {"augmentation": AUGMENTATION}
TRAIN = {
    **{"mixing": {"mixup": 0.4, "cutmix": 1, "videomix": 1, "probability": 0.5}},
    **{"epochs": 2, "batch_size": 8, "lr": 0.02, "schedule": "cosine", "accumulate": 2},
    **{"partial_bn": True, "clip_norm": 5},
}


@pytest.fixture(scope="module")
def config(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    return write_recipe(path, gestures, model=MODEL, data=DATA, train=TRAIN)


def recipe(config: Path, *overrides: str) -> Recipe:
    return load_recipe(config, overrides)


def weights(run: Path) -> dict[str, np.ndarray]:
    checkpoint, state = load_state(run / "last.safetensors")
    return {**checkpoint.tensors, **state.optimizer}


def assert_same(first: Path, second: Path) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def records(run: Path, kind: str) -> list[dict[str, float]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.fixture(scope="module")
def uninterrupted(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(recipe(config), "pytorch", run)
    return run


@pytest.fixture(scope="module")
def long_run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "long"
    train(recipe(config, *LONG), "pytorch", run)
    return run


def test_run_folder_is_complete(uninterrupted: Path) -> None:
    assert {"recipe.yaml", "metrics.jsonl", "tensorboard", "last.safetensors", "best.safetensors"} <= {
        path.name for path in uninterrupted.iterdir()
    }
    steps = records(uninterrupted, "train")
    assert [step["iteration"] for step in steps] == list(range(8))
    assert all(np.isfinite(step["loss"]) for step in steps)
    assert [record["videos"] for record in records(uninterrupted, "evaluation")] == [18, 18]


def test_gradient_norm_is_null_without_clipping(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(recipe(config, "train.clip_norm=null"), "pytorch", tmp_path, until=1)
    assert [step["gradient_norm"] for step in records(tmp_path, "train")] == [None] * 4
    assert "NaN" not in "".join(capfd.readouterr())


def test_resume_is_exact(config: Path, tmp_path: Path, uninterrupted: Path) -> None:
    run = tmp_path / "parts"
    train(recipe(config), "pytorch", run, until=1)
    train(recipe(config), "pytorch", run, resume=run)
    assert_same(run, uninterrupted)
    assert [step["iteration"] for step in records(run, "train")] == list(range(8))


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_interrupted_run_resumes_exactly(
    config: Path, tmp_path: Path, long_run: Path, signal_number: signal.Signals
) -> None:
    run = tmp_path / "stopped"
    options = [*LONG, f"train.save_every={int(signal_number == signal.SIGKILL)}"]
    command = [sys.executable, "-m", "trishift", "train", "--config", str(config), "--output", str(run), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for_steps(process, run, 3)
    process.send_signal(signal_number)
    output, _ = process.communicate(timeout=60)
    if signal_number == signal.SIGINT:
        assert process.returncode == 130, output
        assert "saved" in output
    assert (run / "last.safetensors").exists()
    assert load_state(run / "last.safetensors")[1].iteration < 32, "the signal came too late to test anything"
    train(recipe(config, *options), "pytorch", run, resume=run)
    assert_same(run, long_run)
    assert [step["iteration"] for step in records(run, "train")] == list(range(32))


def wait_for_steps(process: subprocess.Popen[str], run: Path, steps: int) -> None:
    for _ in range(1200):
        assert process.poll() is None, process.communicate()[0]
        log = run / "metrics.jsonl"
        if log.exists() and log.read_text(encoding="utf-8").count("\n") >= steps:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not reach its first steps")


def test_accumulation_matches_the_whole_batch(config: Path, tmp_path: Path) -> None:
    whole = recipe(config, "train.epochs=1", "train.accumulate=1")
    parts = recipe(config, "train.epochs=1", "train.accumulate=4")
    for name, variant in (("one", whole), ("four", parts)):
        train(variant, "pytorch", tmp_path / name)
    one, four = (records(tmp_path / name, "train")[0] for name in ("one", "four"))
    assert one["loss"] == pytest.approx(four["loss"], rel=0.2)  # only batch norm statistics differ


def test_fine_tuning_replaces_the_head(config: Path, gestures: Path, tmp_path: Path, uninterrupted: Path) -> None:
    start = uninterrupted / "best.safetensors"
    labels = tmp_path / "eleven.txt"
    labels.write_text((gestures / "labels.txt").read_text() + "Ten\nEleven\n")
    options = ["train.epochs=1", f"train.initial_weights={start}", f"data.labels={labels}"]
    with pytest.raises(DataError, match=r"2 only in the data set \('Ten', 'Eleven'\); set train\.new_head=true"):
        train(recipe(config, *options), "pytorch", tmp_path / "tuned")
    tuned = recipe(config, *options, "train.new_head=true", "train.lr=1e-9")
    train(tuned, "pytorch", tmp_path / "tuned")
    before, after = weights(uninterrupted), weights(tmp_path / "tuned")
    assert after["head.fc.weight"].shape == (11, 64)
    name = "backbone.layer1.0.conv1.weight"
    best = load_best(uninterrupted)
    np.testing.assert_allclose(after[name], best[name], rtol=1e-4, atol=1e-6)
    assert before.keys() == after.keys()


def test_kept_head_follows_class_order(
    config: Path, gestures: Path, tmp_path: Path, uninterrupted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = (gestures / "labels.txt").read_text().splitlines()
    order = [*range(1, len(names)), 0]
    (tmp_path / "labels.txt").write_text("\n".join(names[k] for k in order))
    options = ["train.epochs=1", f"train.initial_weights={uninterrupted / 'best.safetensors'}", "train.lr=1e-9"]
    train(recipe(config, *options, f"data.labels={tmp_path / 'labels.txt'}"), "pytorch", tmp_path / "tuned")
    before, after = load_best(uninterrupted), weights(tmp_path / "tuned")
    for name in ("head.fc.weight", "head.fc.bias"):
        np.testing.assert_allclose(after[name], before[name][order], rtol=1e-4, atol=1e-6)
    assert "the head is mapped by name" in caplog.text


def load_best(run: Path) -> dict[str, np.ndarray]:
    return load_weights(run / "best.safetensors")


def load_weights(path: Path) -> dict[str, np.ndarray]:
    from trishift.checkpoints.canonical import load

    return load(path).tensors


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["train.batch_size=64"], DataError, "36 clips do not fill one batch of 64"),
        (["train.batch_size=9", "train.accumulate=1"], RecipeError, "9 clips cannot be mixed in pairs on 1 process"),
        (["model.num_classes=5"], RecipeError, "names 9 classes"),
        (["data.val_list=missing.txt"], DataError, r"missing\.txt"),
        (["train.initial_weights=missing.pth"], CheckpointError, r"missing\.pth"),
        (["train.lr=1e30", "train.clip_norm=null"], TrainingError, r"loss is .* at epoch 1.*lower train\.lr"),
        (["execution.device=ascend"], TrishiftError, r"set Execution\(device='cpu'\)"),
    ],
)
def test_invalid_input_is_explained(
    config: Path, tmp_path: Path, overrides: list[str], error: type[TrishiftError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        train(recipe(config, *overrides), "pytorch", tmp_path / "bad")
    assert "\n" not in str(caught.value)


def test_unwritable_output_is_named(config: Path, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        train(recipe(config), "pytorch", blocker / "run")


def test_rejects_resuming_with_another_seed(config: Path, tmp_path: Path, uninterrupted: Path) -> None:
    with pytest.raises(CheckpointError, match=r"train\.seed=0, but the recipe has 7; set train\.seed=0") as caught:
        train(recipe(config, "train.seed=7"), "pytorch", tmp_path / "other", resume=uninterrupted)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "other").exists()


def test_full_disk_on_resume_keeps_the_log(
    config: Path, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_bytes((uninterrupted / "metrics.jsonl").read_bytes())
    before = log.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match=r"metrics\.jsonl: cannot be written \(No space left"):
        MetricsLog(tmp_path, resume_iteration=4)
    assert log.read_bytes() == before
    monkeypatch.undo()
    MetricsLog(tmp_path, resume_iteration=4).close()
    assert [step["iteration"] for step in records(tmp_path, "train")] == list(range(4))


def test_rejects_resuming_another_model(config: Path, tmp_path: Path, uninterrupted: Path) -> None:
    with pytest.raises(CheckpointError, match="another model"):
        train(recipe(config, "model.shift=null"), "pytorch", tmp_path / "other", resume=uninterrupted)


OPTIONS = [
    *("train.optimizer=adamw", "train.lr=0.001", "train.epochs=3", "train.ema=0.9", "train.precise_bn=2"),
    *("train.freeze={stages: [stem, layer1], until: [2, 1]}", "train.stochastic_depth=0.3", "train.warmup_steps=3"),
    *("train.best={metric: mean_class_accuracy, keep: 2}", "train.layer_decay=0.8", "train.partial_bn=false"),
]


def files(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.safetensors")}


def test_run_with_every_option_resumes_exactly(config: Path, tmp_path: Path) -> None:
    whole, parts, elsewhere = tmp_path / "whole", tmp_path / "parts", tmp_path / "elsewhere"
    train(recipe(config, *OPTIONS), "pytorch", whole)
    train(recipe(config, *OPTIONS), "pytorch", parts, until=1)
    train(recipe(config, *OPTIONS), "pytorch", parts, until=2, resume=parts)
    train(recipe(config, *OPTIONS), "pytorch", elsewhere, resume=parts)
    assert files(elsewhere) == files(whole)
    kept = {name for name in files(whole) if name.startswith("kept")}
    always = {f"{name}.safetensors" for name in ("last", "best", "evaluated")}
    assert len(kept) == 2 and files(whole).keys() - kept == always
    checkpoint, state = load_state(whole / "last.safetensors")
    average = load_weights(whole / "evaluated.safetensors")
    assert state.average.keys() == average.keys() == checkpoint.tensors.keys() and not checkpoint.meta["metrics"]
    name = "head.fc.weight"
    assert np.array_equal(state.average[name], average[name])
    assert not np.array_equal(average[name], checkpoint.tensors[name])
    statistics = "backbone.bn1.running_mean"  # measured anew
    assert not np.array_equal(state.average[statistics], average[statistics])
    assert {int(count[0]) for entry, count in state.optimizer.items() if entry.startswith("step.")} == {4, 8, 12}


def test_run_without_evaluations_ends_with_their_weights(config: Path, tmp_path: Path) -> None:
    options = ["train.ema=0.9", "train.epochs=1", "train.evaluate_every=0"]
    train(recipe(config, *options), "pytorch", tmp_path, until=1)
    _, state = load_state(tmp_path / "last.safetensors")
    final = load_weights(final_weights(tmp_path))
    assert all(np.array_equal(final[name], array) for name, array in state.average.items())
    assert not (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.ema=0.9"], r"without a running mean of the weights, but .* train\.ema=0\.9; set train\.ema=null"),
        (
            ["train.optimizer=adamw"],
            r"train\.optimizer\.name=sgd, but the recipe has adamw; set",
        ),
    ],
)
def test_rejects_resuming_without_state(
    config: Path, tmp_path: Path, uninterrupted: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        train(recipe(config, *overrides), "pytorch", tmp_path / "other", resume=uninterrupted)
    assert "\n" not in str(caught.value) and not (tmp_path / "other").exists()


def test_stops_early_and_stays_stopped(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["train.epochs=9", "train.lr=1e-9", "train.best.patience=1"]  # the first evaluation stays the best
    train(recipe(config, *options), "pytorch", tmp_path)
    assert "stopped early: no better top1 than in epoch 1 for 1 epochs" in capsys.readouterr().out
    assert len(records(tmp_path, "evaluation")) == 2
    assert train(recipe(config, *options), "pytorch", tmp_path, resume=tmp_path) is None
    assert "nothing left to train: it stopped early, in epoch 2; raise train.best.pat" in capsys.readouterr().out
