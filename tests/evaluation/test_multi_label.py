"""Multi-label tasks from the list to the prediction, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command, error_line
from tests.support.tiny import write_recipe

import trishift
from trishift.checkpoints.canonical import load
from trishift.data.lists import read_labels

ONLINE = {"shift": {"div": 4, "direction": "unidirectional"}}
LOSS = {"name": "wlsep", "class_weights": "inverse_frequency"}
TRAIN = {"epochs": 2, "batch_size": 24, "accumulate": 2, "lr": 0.02, "loss": LOSS}


@pytest.fixture(scope="module")
def folder(gestures: Path, two_hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    shutil.copytree(two_hands, folder / "data")
    (folder / "one-hand").symlink_to(gestures)
    write_recipe(folder / "tiny.yaml", folder / "data", model=ONLINE, train=TRAIN)
    remove_labels(folder / "data" / "train.csv", 5)
    assert command("train", "--config", folder / "tiny.yaml", "--output", folder / "run") == 0
    return folder


def remove_labels(path: Path, *lines: int) -> None:
    """Remove the labels from lines of a list; the header is line 0."""
    texts = path.read_text().splitlines()
    for line in lines:
        texts[line] = texts[line].rpartition(",")[0] + ","
    path.write_text("".join(f"{text}\n" for text in texts))


def infer(folder: Path, output: Path, *arguments: object) -> list[dict]:
    checkpoint = folder / "run/best.safetensors"
    videos = sorted((folder / "data/val").glob("*.mp4"))[:6]
    assert command("infer", "--checkpoint", checkpoint, "--output", output, *arguments, "--", *videos) == 0
    return json.loads(output.read_text())


def test_best_checkpoint_has_best_map_and_thresholds(folder: Path) -> None:
    lines = (folder / "run/metrics.jsonl").read_text().splitlines()
    maps = [record["sample_map"] for record in map(json.loads, lines) if record["kind"] == "evaluation"]
    checkpoint = load(folder / "run/best.safetensors")
    assert checkpoint.meta["metrics"]["sample_map"] == max(maps)
    assert checkpoint.spec is not None and checkpoint.spec.multi_label
    thresholds = np.array(checkpoint.meta["thresholds"])
    assert thresholds.shape == (8,) and ((thresholds > 0) & (thresholds < 1)).all()


def test_eval_reports_per_class_metrics(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, result = folder / "run/best.safetensors", tmp_path / "result.json"
    assert command("eval", "--checkpoint", checkpoint, "--output", result) == 0
    assert "over samples" in capsys.readouterr().out
    pages = {"result.report.html", "result.calibration.png"}
    names = {"result.json", "result.scores.npz", "result.classes.csv", *pages}
    assert {path.name for path in tmp_path.iterdir()} == names
    summary = json.loads(result.read_text())
    assert summary["thresholds"] == pytest.approx(load(checkpoint).meta["thresholds"], abs=1e-6)
    assert summary["unlabelled"] == 0
    with np.load(tmp_path / "result.scores.npz") as scores:
        assert scores["targets"].shape == scores["scores"].shape == (72, 8)


def test_infer_lists_the_labels_above_their_thresholds(folder: Path, tmp_path: Path) -> None:
    model = trishift.load(folder / "run/best.safetensors")
    assert model.thresholds is not None
    limits = dict(zip(model.labels, model.thresholds, strict=True))
    for row in infer(folder, tmp_path / "own.json", "--top-k", 8):
        expected = [p["label"] for p in row["predictions"] if p["probability"] >= limits[p["label"]]]
        assert row["labels"] == expected
        assert [p["applies"] for p in row["predictions"]] == [p["label"] in expected for p in row["predictions"]]
    everything = infer(folder, tmp_path / "all.json", "--thresholds", 0)
    assert all(sorted(row["labels"]) == sorted(model.labels) for row in everything)
    (tmp_path / "result.json").write_text(json.dumps({"thresholds": [1.0] * 8}))
    nothing = infer(folder, tmp_path / "none.json", "--thresholds", tmp_path / "result.json")
    assert not any(row["labels"] for row in nothing)


def test_export_predicts_like_its_checkpoint(folder: Path, tmp_path: Path) -> None:
    checkpoint, video = folder / "run/best.safetensors", next((folder / "data/val").glob("*.mp4"))
    arguments = ("--format", "onnx", "--uint8", "--output", tmp_path)
    assert command("export", "--checkpoint", checkpoint, *arguments) == 0
    one, other = (trishift.load(path).predict(video).top(8) for path in (checkpoint, tmp_path / "best.onnx"))
    assert [label for label, _ in one] == [label for label, _ in other]
    assert [p for _, p in one] == pytest.approx([p for _, p in other], abs=1e-4)


def test_stream_shows_all_labels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, video = folder / "run/best.safetensors", next((folder / "data/val").glob("*.mp4"))
    capsys.readouterr()
    assert command("stream", video, "--checkpoint", checkpoint, "--json") == 0
    observations = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(seen["labels"]) <= set(read_labels(folder / "data/labels.txt")) for seen in observations)
    assert command("stream", video, "--checkpoint", checkpoint) == 0
    assert capsys.readouterr().out


def test_clips_without_labels_are_counted(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("train.epochs=1", "train.loss={name: lsep, class_weights: null}")
    assert command("train", "--config", folder / "tiny.yaml", "--output", tmp_path, *options) == 0
    assert "note: 1 training clip has no label; lsep learns nothing from them" in capsys.readouterr().out
    (part,) = json.loads((tmp_path / "run.json").read_text())["parts"]
    assert part["recipe"] == str(folder / "tiny.yaml") and part["changes"][0][0] == "train.epochs"
    assert set(part["training"]) == {"epoch", "loss"}
    steps = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps[0]["kind"] == "train" and "top1" not in steps[0]  # several labels have no best one


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.root={folder}/one-hand", "data.train_list=train.txt", "data.val_list=val.txt"], "exactly one label"),
        (["train.loss={{name: cross_entropy, class_weights: null}}"], "labels, but the model is single-label"),
        (["train.loss.class_weights=[1, 2]"], "2 weights for 8 classes"),
        (["train.loss.legacy_m4=true"], "legacy_m4: wlsep does not have this option"),
        (["model.multi_label=false"], "the loss determines it"),
    ],
)
def test_mistakes_in_training_are_one_line(
    folder: Path, tmp_path: Path, overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [override.format(folder=folder) for override in overrides]
    assert command("train", "--config", folder / "tiny.yaml", "--output", tmp_path / "bad", *changes) == 1
    assert message in error_line(capsys)


def test_loss_needs_more_than_one_class(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (folder / "data/train.csv").read_text().splitlines()[1:27]
    texts = [f"{folder / 'data'}/{line.split(',')[0]},{'0' if place % 2 else ''}" for place, line in enumerate(lines)]
    (tmp_path / "list.csv").write_text("path,label\n" + "\n".join(texts) + "\n")
    lists = [f"data.{name}={tmp_path / 'list.csv'}" for name in ("train_list", "val_list")]
    train = ("train", "--config", folder / "tiny.yaml", *lists, "data.labels=null", "data.root=null")
    assert command(*train, "--output", tmp_path / "lsep", "train.loss={name: lsep, class_weights: null}") == 1
    assert "lsep compares classes, but there is only one; use bce" in capsys.readouterr().err
    assert command(*train, "--output", tmp_path / "bce", "train.loss.name=bce", "train.epochs=1") == 0


def test_rejects_evaluation_without_labels(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = (folder / "data/val.csv").read_text().splitlines()[:4]
    (tmp_path / "val.csv").write_text("\n".join([header, *lines]) + "\n")
    remove_labels(tmp_path / "val.csv", 1, 2, 3)
    options = (f"data.val_list={tmp_path / 'val.csv'}", f"data.clips={folder / 'data'}")
    assert command("eval", "--checkpoint", folder / "run/best.safetensors", *options) == 1
    assert "none of the 3 videos has a label" in capsys.readouterr().err


def test_thresholds_are_probabilities(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, video = folder / "run/best.safetensors", next((folder / "data/val").glob("*.mp4"))
    assert command("infer", "--checkpoint", checkpoint, video, "--thresholds", "2") == 1
    assert "between 0 and 1" in capsys.readouterr().err
