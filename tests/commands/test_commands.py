"""Train, evaluate and predict through the command line; mistakes end in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command, error_line
from tests.support.tiny import write_recipe

import trishift
from trishift.data.gestures import CLASSES
from trishift.data.lists import read_list


@pytest.fixture(scope="module")
def run_folder(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    shutil.copytree(gestures, folder / "data")
    write_recipe(folder / "tiny.yaml", folder / "data")
    assert command("train", "--config", folder / "tiny.yaml", "--output", folder / "run") == 0
    return folder


def test_eval_uses_the_recipe_inside_the_checkpoint(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, result = run_folder / "run/best.safetensors", run_folder / "out/result.json"
    assert command("eval", "--checkpoint", checkpoint, "--protocol", "three", "--output", result) == 0
    assert "18 videos; 1 uniform clip x 3 crops, full resolution" in capsys.readouterr().out
    assert json.loads(result.read_text())["videos"] == 18
    assert {path.name for path in result.parent.iterdir()} == {
        "result.json",
        "result.scores.npz",
        "result.confusion.csv",
        "result.confusion.png",
        "result.calibration.png",
        "result.report.html",
    }


def test_missing_video_is_listed_not_replaced(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "val.txt").write_text((run_folder / "data/val.txt").read_text() + "val/gone.mp4 8 0\n")
    checkpoint = run_folder / "run/best.safetensors"
    assert command("eval", "--checkpoint", checkpoint, f"data.val_list={tmp_path / 'val.txt'}") == 0
    captured = capsys.readouterr()
    assert "18 videos, 1 missed" in captured.out
    assert "warning: 1 of 19 videos could not be read" in captured.err
    assert "gone.mp4" in captured.err
    strict = (f"data.val_list={tmp_path / 'val.txt'}", "--strict")
    assert command("eval", "--checkpoint", checkpoint, *strict) == 1
    assert "gone.mp4" in capsys.readouterr().err


def test_infer_takes_videos_folders_and_lists(run_folder: Path, tmp_path: Path) -> None:
    checkpoint, data = run_folder / "run/best.safetensors", run_folder / "data"
    video = next((data / "val").glob("*.mp4"))
    assert command("infer", "--checkpoint", checkpoint, video, "--output", tmp_path / "one.json") == 0
    assert command("infer", "--checkpoint", checkpoint, data / "val", "--output", tmp_path / "all.json") == 0
    listed = ("--filelist", data / "val.txt", "--output", tmp_path / "list.json")
    assert command("infer", "--checkpoint", checkpoint, *listed) == 0
    one, everything, from_list = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "all", "list"))
    assert [len(one), len(everything), len(from_list)] == [1, 18, 18]
    assert one[0] in everything


def test_the_python_api_agrees_with_the_commands(run_folder: Path, tmp_path: Path) -> None:
    checkpoint = run_folder / "run/best.safetensors"
    video = next((run_folder / "data/val").glob("*.mp4"))
    model = trishift.load(checkpoint)
    assert len(model.labels) == 9
    pairs = model.predict(video).top(3)
    assert len(pairs) == 3
    assert pairs == sorted(pairs, key=lambda pair: -pair[1])
    command("infer", "--checkpoint", checkpoint, video, "--top-k", 3, "--output", tmp_path / "p.json")
    written = json.loads((tmp_path / "p.json").read_text())[0]["predictions"]
    assert [(p["label"], pytest.approx(p["probability"])) for p in written] == pairs
    assert model(np.zeros((2, 4, 3, 32, 32), np.float32)).shape == (2, 9)


def test_checkpoint_records_the_usual_length_of_clips(run_folder: Path) -> None:
    records = read_list(run_folder / "data/train.txt")
    actions = [record.num_frames for record in records if record.labels != (CLASSES.index("No gesture"),)]
    assert 0 < len(actions) < len(records)
    seconds = np.median(actions) / 12
    model = trishift.load(run_folder / "run/best.safetensors")
    assert model.meta["window"] == pytest.approx(seconds, abs=1e-3)
    assert model.timeline("any.mp4").length == model.meta["window"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "add --config"),
        (["train", "--config", "nowhere.yaml"], "no such recipe file"),
        (["train", "--config", "{folder}/tiny.yaml", "trian.lr=1"], "'train'"),
        (["eval", "--checkpoint", "{folder}/tiny.yaml"], "tiny.yaml"),
        (["eval", "--checkpoint", "{folder}/run/best.safetensors", "--protocol", "hundred"], "center"),
        (["infer", "--checkpoint", "{folder}/run/best.safetensors"], "at least one VIDEO"),
        (["infer", "--checkpoint", "{folder}/run/best.safetensors", "gone.mp4"], "gone.mp4"),
        (["infer", "--checkpoint", "gone.pth", "x.mp4"], "gone.pth"),
    ],
)
def test_mistake_is_one_line_and_status_1(
    run_folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*(argument.format(folder=run_folder) for argument in arguments)) == 1
    assert message in error_line(capsys)


@pytest.mark.parametrize(
    "name",
    [
        "train",
        "eval",
        "infer",
        "export",
        "convert",
        "inspect",
        "prepare",
        "quickstart",
        "stream",
        "timeline",
        "features",
        "probe",
        "finetune",
        "models",
        "publish",
        "push",
    ],
)
def test_help_shows_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(name, "--help") == 0
    assert "examples:\n  trishift" in capsys.readouterr().out
