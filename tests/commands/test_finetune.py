"""`trishift probe` and `trishift finetune` on a few gestures, from drawn weights."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.object_store import BUCKET, object_store

import trishift
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import load, save
from trishift.checkpoints.files import weight_path
from trishift.cli import main
from trishift.data.lists import read_list, write_list
from trishift.evaluation.scores import read_scores
from trishift.io.wording import spell_time
from trishift.model.initialization import initial_tensors
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.recipe import load_recipe
from trishift.reporting.pages.rendering import percent
from trishift.training.budget import Workload, read_time
from trishift.training.comparison import Comparison
from trishift.training.finetune import FineTuning
from trishift.training.sinks import read_metrics

SMALL = ["train.batch_size=3", "data.augmentation.flip=none", "--device", "cpu"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ModelSpec("resnet10", 3, 4, width=8, shift=ShiftSpec(div=4))
    path = tmp_path_factory.mktemp("weights") / "drawn.safetensors"
    save(path, Checkpoint(initial_tensors(spec, 0), spec, InputSpec(resize=32, crop=32), ("a", "b", "c")))
    return path


@pytest.fixture(scope="module")
def clips(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists of two clips for each of the nine gestures."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "labels.txt").write_bytes((gestures / "labels.txt").read_bytes())
    write_list(folder / "train.txt", read_list(gestures / "val.txt"))
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


def test_probe(clips: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in clips.iterdir())
    status, out, _ = run(
        capsys, "probe", str(clips), "--from", str(weights), "--folds", "2", "--output", str(tmp_path / "p"), *SMALL
    )
    assert status == 0 and sorted(path.name for path in clips.iterdir()) == before
    for text in ("probe: top-1", "95% interval", "most frequent class", "one frame per clip", "half of the", "next: "):
        assert text in out
    found = json.loads((tmp_path / "p" / "probe.json").read_text(encoding="utf-8"))
    assert found["clips"] == 18 and len(found["each_fold"]) == 2
    assert np.mean(found["each_fold"]) == pytest.approx(found["probe"]["mean"])
    model = trishift.load(tmp_path / "p" / "probe.safetensors")
    assert len(model.labels) == 9 and model.spec.shift == ShiftSpec(div=4) and model.input.crop == 32


def test_finetune(clips: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "f"
    command = ["finetune", str(clips), "--from", str(weights), "--folds", "2", "--output", str(output), *SMALL]
    status, out, err = run(capsys, *command, "train.epochs=1")
    assert status == 0, err
    for text in (
        "3 runs of 1 epoch, about",
        "if the probe is shipped, without the run on all clips",
        "fold-1-seed-1",
        "seed  fold 0  fold 1",
        "fine-tuned: ",
        "next: trishift",
    ):
        assert text in out
    assert out.count("next: ") == 1 and out.rstrip().endswith(f"next: trishift infer --checkpoint {output} VIDEO")
    recipe = load_recipe(output / "fold-0-seed-1" / "recipe.yaml")
    assert recipe.input.crop == 32 and recipe.data.augmentation.size is None  # pixels of the weights, not of the recipe
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    kept = "all-clips" if summary["shipped"] == "finetuned" else None
    assert (output / "all-clips").is_dir() == (kept is not None)
    assert load(output / "model.safetensors").labels == load(output / "probe.safetensors").labels
    last = read_metrics(output / "fold-0-seed-1", "evaluation")[-1]["top1"]
    assert summary["each_run"]["1"][0] == pytest.approx(last)
    reached = {"finetuned": summary["finetuned"]["mean"], "probe": summary["probe"]["probe"]["mean"]}
    held_out = json.loads((output / "held_out.json").read_text(encoding="utf-8"))
    assert held_out["top1"] == pytest.approx(reached[summary["shipped"]])
    assert read_scores(output / "held_out.json").logits.shape == (18, 9)
    assert f"report: {output / 'held_out.report.html'}" in err and "warning" not in err
    page = (output / "held_out.report.html").read_text(encoding="utf-8")
    assert percent(held_out["top1"]) in page
    cells = re.findall(r'<td class="num">(?:<strong>)?([^<]*)', page[page.index("Results per fold") :])
    each = [*summary["each_run"]["1"], summary["finetuned"]["mean"], *summary["probe"]["each_fold"]]
    assert cells[: len(each)] == [percent(value) for value in each]
    assert "There are no film strips: each fold has a network of its own." in page
    assert "so none is held out from it" in page and ("all-clips/report.html" in page) == (kept is not None)
    if kept:
        final = (output / kept / "report.html").read_text(encoding="utf-8")
        assert "This run had no validation clips" in final and "held_out.report.html has those of the folds" in final
    status, _, err = run(capsys, "calibrate", "--checkpoint", str(output), "--force")
    assert status == 0 and f"scores: {output / 'held_out.json'}" in err and "warning" not in err
    calibration = load(output / "model.safetensors").meta["calibration"]
    assert (calibration["videos"], calibration["protocol"]) == (18, held_out["protocol"])
    assert load(output / "model.safetensors").meta["window"] > 0
    assert weight_path(output) == output / "model.safetensors"
    status, again, _ = run(capsys, *command, "train.epochs=1")
    assert status == 0 and "epoch 1/1: loss" not in again.partition("all-clips")[0]
    status, _, err = run(capsys, *command, "train.epochs=1", "--seeds", "2")
    assert status == 1 and "holds another fine-tuning" in err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--time", "soon"], "--time soon: write it as 90s, 30m or 2h"),
        (["--time", "0.001s"], "3 runs of 2 epochs take about"),
        (["--seeds", "1,1"], "--seeds 1,1: each seed"),
        (["--seeds", "x"], "--seeds x: write whole numbers"),
        (["--groups", "nowhere.csv:person"], "nowhere.csv"),
    ],
)
def test_refusals(
    extra: list[str], message: str, clips: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", str(clips), "--from", str(weights), "--folds", "2", "--output", str(tmp_path / "f")]
    status, _, err = run(capsys, *command, *SMALL, *extra)
    assert status == 1 and message in err and not list((tmp_path / "f").glob("fold*"))


@pytest.mark.parametrize("command", ["probe", "finetune"])
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["train.head_strat=probe"], "train.head_strat"),
        (["train.epochs=x"], "override 'train.epochs=x': train.epochs: input should be a valid integer"),
        (["train.freeze=[layer9]"], "train.freeze.stages: resnet10 has no stage 'layer9'"),
        (["--device", "abacus"], "--device abacus: is unknown"),
        (["--folds", "1"], "--folds 1: cross-validation needs 2 or more folds"),
    ],
)
def test_wrong_options_are_refused_before_the_clips_are_read(
    command: str,
    extra: list[str],
    message: str,
    clips: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [command, str(clips), "--from", str(weights), "--output", str(tmp_path / "f"), *SMALL, *extra]
    status, _, err = run(capsys, *words)
    assert status == 1 and message in err and not (tmp_path / "f").exists()


def test_times() -> None:
    assert [read_time(text) for text in ("90s", "30m", "1.5h", "5")] == [90, 1800, 5400, 300]
    assert [spell_time(seconds) for seconds in (30.2, 89, 100, 7200)] == ["31s", "89s", "2m", "2h"]
    work = Workload(training=100, validation=20, runs=2)
    assert work.seconds(3, 1.0) == pytest.approx(300 + (100 + 80) / 3)
    assert replace(work, opening=4.0).seconds(3, 1.0) == 8 + work.seconds(3, 1.0)
    assert work.affordable_epochs(work.seconds(5, 1.0), 1.0, wanted=20) == 5
    assert work.affordable_epochs(1e9, 1.0, wanted=20) == 20


def test_a_finetuning_in_a_store_is_not_repeated_on_another_machine(
    clips: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = f"s3://{BUCKET}/mine"
    command = ["finetune", str(clips), "--from", str(weights), "--folds", "2", "--output", output, *SMALL]
    with object_store() as client:

        def names() -> set[str]:
            return {entry["Key"].removeprefix("mine/") for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]}

        monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "home"))
        with monkeypatch.context() as patch:
            patch.setattr(FineTuning, "train_on_all", interrupted)
            patch.setattr(Comparison, "beats_probe", True)
            assert run(capsys, *command, "train.epochs=1", "--no-report")[0] == 130
        assert names() >= {"plan.json", "lists/all.csv", "probe.safetensors", "fold-1-seed-1/last.safetensors"}
        assert "model.safetensors" not in names()
        monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "other"))
        status, out, err = run(capsys, *command, "train.epochs=1", "--no-report")
        assert status == 0, err
        assert "fold-0-seed-1" not in out and f"written: {output}/model.safetensors, summary.json" in out
        assert names() >= {"model.safetensors", "summary.json"}
        assert trishift.load(output).labels == trishift.load(f"{output}/model.safetensors").labels


def interrupted(self: FineTuning) -> Checkpoint:
    raise KeyboardInterrupt
