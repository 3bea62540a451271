"""Run folders: old runs stay, one process at a time, and files that do not show where a run was resumed."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from tests.support.tiny import write_recipe

from trishift.checkpoints.canonical import load
from trishift.errors import CheckpointError, DataError, OutputError
from trishift.io.locks import locked
from trishift.recipe import Recipe, load_recipe
from trishift.training import output as output_module
from trishift.training import trainer
from trishift.training.interruption import Interrupted, StopSignal
from trishift.training.run import train
from trishift.training.run_folder import earlier_form, run_to_resume
from trishift.training.sinks import read_metrics

COMPARED = ("recipe.yaml", "metrics.jsonl", "last.safetensors", "best.safetensors")
TRAIN = {"epochs": 2, "batch_size": 12, "lr": 0.02, "milestones": [1]}


@pytest.fixture(scope="module")
def config(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.yaml", gestures, train=TRAIN)


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(load_recipe(config), "pytorch", run)
    return run


@pytest.fixture(scope="module")
def half(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of two epochs; copy it."""
    run = tmp_path_factory.mktemp("runs") / "half"
    train(load_recipe(config), "pytorch", run, until=1)
    return run


def content(run: Path) -> dict[str, bytes]:
    """The files of a run but run.json, which has times."""
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != "run.json"}


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training stop as if Ctrl-C were pressed in a step."""

    class Stop(StopSignal):
        checks = 0

        @property  # type: ignore[override]
        def requested(self) -> bool:
            Stop.checks += 1
            return Stop.checks >= steps

        @requested.setter
        def requested(self, value: bool) -> None:
            pass

    monkeypatch.setattr(trainer, "StopSignal", Stop)


def interrupt(recipe: Recipe, run: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted) as stopped:
            train(recipe, "pytorch", run)
    return str(stopped.value)


def test_same_command_counts_up(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, run = load_recipe(config, ["train.epochs=1"]), tmp_path / "tsm"
    (run / "ranks").mkdir(parents=True)  # made by the launch scripts: not a run
    (run / "train.log").write_text("")
    train(recipe, "pytorch", run)
    first = content(run)
    assert f"run folder: {run}" in capsys.readouterr().out
    for number in (2, 3):
        train(recipe, "pytorch", run)
        printed = capsys.readouterr().out
        assert f"{run} holds a run already; this one goes to {run}-{number} (--resume continues" in printed
        assert f"run folder: {run}-{number}" in printed
    assert content(run) == first
    assert content(tmp_path / "tsm-3")["last.safetensors"] == first["last.safetensors"]


@pytest.mark.parametrize("name", [*COMPARED, "skipped.txt"])
def test_any_file_of_a_run_counts(config: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / name).write_text("old")
    train(load_recipe(config, ["train.epochs=1"]), "pytorch", run)
    assert content(run) == {name: b"old"}
    assert (tmp_path / "run-2/last.safetensors").is_file()


def test_overwrite_replaces_only_the_run(config: Path, tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "result.json").write_text("{}")
    (run / "tensorboard/events.out.tfevents.1.old").touch()
    recipe = load_recipe(config, ["train.epochs=2", "train.evaluate_every=2"])
    train(recipe, "pytorch", run, until=1, overwrite=True)
    assert set(content(run)) == {"recipe.yaml", "metrics.jsonl", "last.safetensors", "result.json"}
    assert not list((run / "tensorboard").glob("*.old"))
    assert len(list((run / "tensorboard").iterdir())) == 1


def test_failed_overwrite_keeps_the_old_run(config: Path, tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    with pytest.raises(CheckpointError, match="missing"):
        train(load_recipe(config, ["train.initial_weights=missing.pth"]), "pytorch", run, overwrite=True)
    assert content(run) == content(whole)


def test_two_processes_do_not_share_a_folder(config: Path, tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    recipe = load_recipe(config)
    with locked(run) as ours:
        assert ours
        for options in ({"resume": run}, {"overwrite": True}):
            with pytest.raises(OutputError, match="another process is training in this folder") as refused:
                train(recipe, "pytorch", run, **options)  # type: ignore[arg-type]
            assert "\n" not in str(refused.value)
    assert content(run) == content(whole)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    with locked(fresh):  # another process is about to start there
        train(load_recipe(config, ["train.epochs=1"]), "pytorch", fresh)
        assert set(content(fresh)) == {".lock"}
    assert (tmp_path / "fresh-2/last.safetensors").is_file()


def test_kill_releases_the_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from trishift.io.locks import locked\n"
        "with locked(Path(sys.argv[1])) as ours:\n    print(ours, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "True\n"
    with locked(tmp_path) as ours:
        assert not ours
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path) as ours:
        assert ours
    assert list(tmp_path.iterdir()) == []


def test_file_systems_without_locks_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("trishift.io.locks.fcntl.flock", unsupported)
    with locked(tmp_path) as ours:
        assert ours
    assert f"{tmp_path}: this file system has no locks" in caplog.text


@pytest.mark.parametrize("steps", [1, 2, 4, 5])
def test_resumed_files_equal_unbroken_ones(
    config: Path, tmp_path: Path, whole: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "parts"
    message = interrupt(load_recipe(config), run, steps, monkeypatch)
    epoch, step = divmod(steps - 1, 3)
    assert message.startswith(f"stopped after step {step + 1}/3 of epoch {epoch + 1}; saved to {run}; continue with: ")
    assert message.endswith(f"trishift train --resume {run}")
    train(load_recipe(run / "recipe.yaml"), "pytorch", run, resume=run)
    assert content(run) == content(whole)


def test_record_has_the_means_of_the_last_epoch(whole: Path) -> None:
    *_, part = json.loads((whole / "run.json").read_text())["parts"]
    epoch = part["training"]["epoch"]
    last = [step for step in read_metrics(whole, "train") if step["epoch"] == epoch]
    assert epoch == part["epochs"]
    for name in ("loss", "top1"):
        assert part["training"][name] == pytest.approx(fmean(step[name] for step in last))


def test_run_resumed_elsewhere_is_complete(config: Path, tmp_path: Path, half: Path, whole: Path) -> None:
    other, before = tmp_path / "other", content(half)
    train(load_recipe(config), "pytorch", other, resume=half / "last.safetensors")
    assert content(half) == before
    assert content(other) == content(whole)
    train(load_recipe(config), "pytorch", other, resume=half)
    assert content(tmp_path / "other-2") == content(whole)


@pytest.mark.parametrize(
    ("entry", "was"), [("train.batch_size=6", 12), ("train.accumulate=2", 1), ("data.balance.by=class", "none")]
)
def test_rejects_another_order_within_an_epoch(
    config: Path, tmp_path: Path, entry: str, was: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    interrupt(load_recipe(config), run, 2, monkeypatch)
    before = content(run)
    name, _, value = entry.partition("=")
    expected = rf"{name}={was} and stopped within epoch 1, but the recipe has {value}; set {name}={was}"
    with pytest.raises(CheckpointError, match=expected):
        train(load_recipe(config, [entry]), "pytorch", run, resume=run)
    assert content(run) == before


def test_another_batch_after_an_epoch_counts_on(config: Path, tmp_path: Path, half: Path) -> None:
    run = shutil.copytree(half, tmp_path / "run")  # 3 steps
    train(load_recipe(config, ["train.batch_size=18"]), "pytorch", run, resume=run)  # 2 steps
    assert [record["iteration"] for record in read_metrics(run, "train")] == [0, 1, 2, 3, 4]
    assert [record["epoch"] for record in read_metrics(run, "train")] == [1, 1, 1, 2, 2]


def test_last_holds_the_metrics_of_its_epoch(config: Path, tmp_path: Path) -> None:
    recipe = load_recipe(config, ["train.epochs=3", "train.evaluate_every=2"])
    run = tmp_path / "run"
    for epoch in (1, 2, 3):
        train(recipe, "pytorch", run, until=epoch, resume=run if epoch > 1 else None)
        metrics = load(run / "last.safetensors").meta["metrics"]
        if epoch == 1:
            assert metrics == {}
        else:
            assert metrics["epoch"] == epoch
            assert metrics["top1"] == read_metrics(run, "evaluation")[-1]["top1"]
    best = load(run / "best.safetensors").meta
    assert best["metrics"]["epoch"] == best["epoch"]


def damaged(gestures: Path, folder: Path) -> tuple[Path, list[str]]:
    """A copy of the gestures with two unreadable training clips."""
    shutil.copytree(gestures, folder)
    names = [line.split()[0] for line in (folder / "train.txt").read_text().splitlines()]
    for name in (names[1], names[-1]):
        (folder / name).write_bytes(b"no video")
    return folder, sorted([str(folder / names[1]), str(folder / names[-1])])


def test_skipped_clips_are_listed(
    config: Path, gestures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, names = damaged(gestures, tmp_path / "data")
    recipe = load_recipe(config, [f"data.root={root}", "data.on_error=skip"])
    run = tmp_path / "run"
    train(recipe, "pytorch", run)
    lines = (run / "skipped.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == names
    assert all(line.split("\t")[1] for line in lines)
    assert f"warning: unreadable training clips skipped: 2, listed in {run}/skipped.txt" in capsys.readouterr().out
    interrupt(recipe, tmp_path / "parts", 4, monkeypatch)
    assert len((tmp_path / "parts/skipped.txt").read_text().splitlines()) == 2
    train(recipe, "pytorch", tmp_path / "parts", resume=tmp_path / "parts")
    assert content(tmp_path / "parts") == content(run)


def test_next_run_removes_unfinished_files(config: Path, tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / ".unfinished-best.safetensors").mkdir()
    (run / ".unfinished-best.safetensors/best.safetensors").write_bytes(b"half")
    (run / ".last.safetensors.x7.tmp").write_bytes(b"half")
    (run / ".unfinished-result.json").mkdir()  # of another command, which may be running
    train(load_recipe(config), "pytorch", run, resume=run)
    assert sorted(path.name for path in run.iterdir() if path.name.startswith(".")) == [".unfinished-result.json"]


def test_too_small_a_disk_is_refused_first(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(output_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="a checkpoint takes 1 MB, but only 0 MB are free; free some space"):
        train(load_recipe(config), "pytorch", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert "epoch" not in capsys.readouterr().out.replace("epochs", "")


def test_paths_that_no_checkpoint_can_hold_are_refused_first(config: Path, gestures: Path, tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    shutil.copytree(gestures, root)
    recipe = load_recipe(config)
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, root=str(root)))
    with pytest.raises(DataError, match="a path in the recipe has bytes that are not UTF-8"):
        train(recipe, "pytorch", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_full_disk_while_training_is_one_line(tmp_path: Path) -> None:
    from trishift.training.sinks import MetricsLog

    log = MetricsLog(tmp_path)
    log._file.close()
    log._file = Path("/dev/full").open("w")  # noqa: SIM115
    with pytest.raises(OutputError, match=r"metrics\.jsonl: cannot be written \(No space left on device\)"):
        log.write("train", 0, {"loss": 1.0})


@pytest.mark.parametrize(
    "damage", [b'{"kind": "tra', b"\xff\xfe\n", b"[1]\n", b'{"kind": "train"}\n', b"[" * 100_000 + b"\n"]
)
def test_damaged_records_are_dropped_on_resume(
    config: Path, tmp_path: Path, half: Path, whole: Path, damage: bytes
) -> None:
    run = shutil.copytree(half, tmp_path / "run")
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(damage)
    train(load_recipe(config), "pytorch", run, resume=run)
    assert content(run) == content(whole)


def test_records_of_earlier_versions_are_read(tmp_path: Path) -> None:
    old: list[dict[str, Any]] = [
        {"kind": "train", "iteration": step, "loss": 1.0, "epoch": step // 2} for step in range(4)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in old))
    assert [record["epoch"] for record in read_metrics(tmp_path, "train")] == [1, 1, 2, 2]


def test_records_of_other_types_are_dropped(tmp_path: Path) -> None:
    lines = ('{"iteration": true}', '{"iteration": 1}', '{"kind": "train", "iteration": 1, "epoch": 0}',
             '{"kind": "train", "iteration": 2, "epoch": "x"}', '{"kind": "train", "iteration": 3}')  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert [record.get("epoch") for record in read_metrics(tmp_path, "train")] == [1, "x", None]
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(tmp_path / "none", "train")


def test_concurrent_commands_use_their_own_folders(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trishift", "train", "--config", str(config), "--output", str(tmp_path / "run")]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    printed = [job.communicate(timeout=120)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], printed
    for name in ("run", "run-2"):
        assert [record["iteration"] for record in read_metrics(tmp_path / name, "train")] == list(range(6))


@pytest.mark.parametrize("until", [None, 1])
def test_a_finished_run_has_nothing_left_to_train(
    config: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], until: int | None
) -> None:
    before = content(whole)
    for output in (whole, tmp_path / "elsewhere"):
        assert train(load_recipe(config), "pytorch", output, resume=whole, until=until) is None
        assert f"{whole}: nothing left to train: 2 of 2 epochs are done" in capsys.readouterr().out
    assert content(whole) == before
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no last.safetensors, so there is nothing to resume; name the folder of a run"),
        (["recipe.yaml"], "stopped before its first checkpoint; repeat it with --config .*/recipe.yaml"),
        (["best.safetensors", "recipe.yaml"], "start a new run from its weights with train.initial_weights=.*/best"),
        (["a/last.safetensors", "b/last.safetensors"], "is a folder of runs; name the one to resume: .*/a, .*/b"),
    ],
)
def test_folders_that_cannot_be_resumed_are_described(files: list[str], message: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=message):
        run_to_resume(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist; name the folder"):
        run_to_resume(tmp_path / "gone")


def test_files_of_earlier_versions_are_said_once(tmp_path: Path) -> None:
    assert earlier_form(tmp_path) is None
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "iteration": 0, "epoch": 1}\n')
    assert earlier_form(tmp_path) is None
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "iteration": 0, "epoch": 0}\n')
    assert earlier_form(tmp_path) == f"{tmp_path}: written by an earlier version; epochs now count from 1"
    (tmp_path / "recipe.yaml").write_text("evaluation: {sampling: {legacy_random_test: false}}")
    assert str(earlier_form(tmp_path)).endswith("; old recipe keys are renamed and epochs now count from 1")
