"""Runs whose folder is in an object store (moto's server): killed, resumed elsewhere, and stores that fail."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import isolated
from tests.support.command_line import command, error_line
from tests.support.file_server import serving
from tests.support.object_store import BUCKET, forget_stores, object_store
from tests.support.paths import ROOT
from tests.support.tiny import write_recipe

from trishift.backends import FRAMEWORKS
from trishift.checkpoints.training_state import load_state
from trishift.io.storage import folders, remote

RUN = f"s3://{BUCKET}/runs/tiny"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A store, and a machine that knows nothing of its runs."""
    monkeypatch.setattr(remote, "_PAUSE", 0.01)
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with object_store() as client:
        yield client


@pytest.fixture
def recipe(gestures: Path, tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "tiny.yaml", gestures, train={"epochs": 2, "save_every": 1})


def train(*words: object) -> int:
    return command("train", *words, "--device", "cpu", "--no-report")


def names(client: Any) -> set[str]:
    found = client.list_objects_v2(Bucket=BUCKET, Prefix="runs/tiny/").get("Contents", [])
    return {entry["Key"].removeprefix("runs/tiny/") for entry in found}


def download(client: Any, name: str, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    client.download_file(BUCKET, f"runs/tiny/{name}", str(target))
    return target


def losses(path: Path) -> list[tuple[int, float]]:
    records = map(json.loads, path.read_text().splitlines())
    return [(record["iteration"], record["loss"]) for record in records if record["kind"] == "train"]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_killed_run_is_resumed_on_another_machine(
    framework: str, client: Any, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "--framework", framework, "--device", "cpu", "--no-report")
    whole = ("--config", recipe, "--output", tmp_path / "whole")
    isolated.python("-m", "trishift", *words, *whole)
    process = subprocess.Popen(
        [sys.executable, "-m", "trishift", *words, "--config", str(recipe), "--output", RUN],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: "last.safetensors" in names(client) or process.poll() is not None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    saved = download(client, "last.safetensors", tmp_path / "saved.safetensors")
    assert 1 <= load_state(saved)[1].iteration < 6
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "other"))
    isolated.python("-m", "trishift", *words, "--resume", RUN)
    found, expected = (
        losses(path)
        for path in (download(client, "metrics.jsonl", tmp_path / "sent.jsonl"), whole[-1] / "metrics.jsonl")
    )
    rounding = 0 if framework == "pytorch" else 1e-5
    assert [iteration for iteration, _ in found] == list(range(6))
    np.testing.assert_allclose(found, expected, rtol=rounding)
    last = download(client, "last.safetensors", tmp_path / "last.safetensors")
    (one, _), (other, state) = load_state(whole[-1] / "last.safetensors"), load_state(last)
    assert state.epoch == 2
    for name in one.tensors:
        np.testing.assert_allclose(other.tensors[name], one.tensors[name], rtol=rounding, atol=rounding)
    assert not any((tmp_path / "other/runs").glob("*/tiny"))


def test_two_processes_send_once_and_resume_together(
    client: Any, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe.write_text(recipe.read_text().replace("epochs: 2", "epochs: 2\n  frozen_bn: true"))
    assert train("--config", recipe, "--output", "whole") == 0
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, ROOT / "train.py")
    words = ("--device", "cpu", "--no-report", "execution.distributed=true")
    local = {"GLOO_SOCKET_IFNAME": "lo"}
    isolated.python(*launcher, *words, "--config", recipe, "--output", RUN, "--until", 1, **local)
    assert load_state(download(client, "last.safetensors", tmp_path / "saved.safetensors"))[1].epoch == 1
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "other"))
    isolated.python(*launcher, *words, "--resume", RUN, **local)
    found = losses(download(client, "metrics.jsonl", tmp_path / "sent.jsonl"))
    np.testing.assert_allclose(found, losses(tmp_path / "whole/metrics.jsonl"), rtol=1e-4)
    assert load_state(download(client, "last.safetensors", tmp_path / "last.safetensors"))[1].epoch == 2
    assert not any((tmp_path / "other/runs").glob("*/tiny"))


def test_runs_and_results_in_a_store_are_reported_and_compared(
    client: Any, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--config", recipe, "--output", RUN, "--until", 1) == 0
    assert command("report", RUN) == 1
    assert error_line(capsys).startswith(f"error: {RUN}: is in a store") and not list(tmp_path.glob("*.html"))
    assert command("report", RUN, "--output", "page.html") == 0
    assert "1 of 2 epochs evaluated so far" in (page := (tmp_path / "page.html").read_text())
    assert "There are no film strips" not in page and "data:image" in page
    assert train("--resume", RUN) == 0
    assert command("report", RUN, "--output", "page.html") == 0
    assert "evaluated so far" not in (tmp_path / "page.html").read_text()
    assert train("--config", recipe, "--output", "here", "train.lr=0.02") == 0
    result = f"s3://{BUCKET}/runs/result.json"
    words = ("eval", "--checkpoint", RUN, "--device", "cpu", "--no-report", "--output")
    assert command(*words, result) == 0
    assert command(*words, "result.json") == 0
    capsys.readouterr()
    assert command("compare", RUN, "here", result, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["runs"] for row in shown["rows"]] == [[RUN], ["here"], [result]]
    assert command("compare", "result.json", "here", result, "--json") == 0
    local, _, stored = json.loads(capsys.readouterr().out)["rows"]
    assert (local["mean"], local["high"]) == (stored["mean"], stored["high"])
    for missing in ("runs/none", "runs/none.json"):
        assert command("report", f"s3://{BUCKET}/{missing}", "--output", "page.html") == 1
        assert f"{missing}: is neither a run folder nor the result.json" in error_line(capsys)
    assert command("compare", RUN, f"{RUN}/") == 1
    assert f"{RUN}: is named 2 times" in error_line(capsys)


def test_a_run_in_a_store_is_complete_and_is_continued_or_replaced_on_request(
    client: Any, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.put_object(Bucket=BUCKET, Key="runs/tiny/mine.txt", Body=b"stays")
    assert command("train", "--config", recipe, "--output", RUN, "--device", "cpu", "--until", 1) == 0
    shown = capsys.readouterr()
    assert f"run folder: {RUN}; continue with: trishift train --resume {RUN}" in shown.out
    assert f"report: {RUN}/report.html" in shown.err
    assert names(client) >= {"recipe.yaml", "metrics.jsonl", "last.safetensors", "best.safetensors", "run.json"}
    assert names(client) >= {"report.html", "best.scores.npz", "mine.txt"}
    assert not any("/." in f"/{name}" for name in names(client)) and not list((tmp_path / "home/runs").glob("*/*"))
    assert train("--config", recipe, "--output", RUN) == 1
    assert error_line(capsys).startswith(f"error: {RUN}: holds a run already (")
    assert train("--resume", f"{RUN}/last.safetensors", "train.best.keep=2") == 0
    assert f"next: trishift infer --checkpoint {RUN} VIDEO" in capsys.readouterr().out
    assert [name for name in names(client) if name.startswith("kept/")] == ["kept/epoch-0002.safetensors"]
    assert train("--resume", RUN) == 0
    assert f"{RUN}: nothing left to train: 2 of 2 epochs are done" in capsys.readouterr().out
    assert train("--resume", RUN, "train.epochs=3", "--output", "here") == 0
    assert len(losses(tmp_path / "here/metrics.jsonl")) == 9
    assert train("--config", recipe, "--output", RUN, "--overwrite", "train.epochs=1") == 0
    assert len(losses(download(client, "metrics.jsonl", tmp_path / "metrics.jsonl"))) == 3
    assert "mine.txt" in names(client) and not any(name.startswith("kept/") for name in names(client))


def test_stores_that_cannot_be_written_are_named_before_training(
    client: Any, recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for output, message in (
        ("s3://no-such-bucket/run", "does not exist; check the address"),
        ("https://example.org/run", "cannot be written; name a folder here, or one in s3://, gs:// or az://"),
        ("hf://datasets/owner/name/run", "cannot be written; name a folder here, or one in s3://, gs:// or az://"),
    ):
        assert train("--config", recipe, "--output", output) == 1
        assert f"error: {output}" in (line := error_line(capsys)) and message in line
    with serving() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        forget_stores()
        empty = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>'
        server.always["/clips"] = lambda handler, content: handler.reply(200, empty, Content_Type="application/xml")
        server.always["/clips/run/.trishift-trial"] = lambda handler, content: handler.reply(403)
        assert train("--config", recipe, "--output", "s3://clips/run") == 1
        line = error_line(capsys)
        assert "access is denied (403" in line and "ask for the right to write it, or set AWS_ACCESS_KEY_ID" in line
        assert [path for path, _ in server.requests if "last" in path] == []


def test_a_store_that_fails_for_a_while_gets_everything_later(
    client: Any, recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "call", failing(range(10, 18)))
    assert train("--config", recipe, "--output", RUN) == 0
    shown = caplog.text
    assert "3 attempts failed: gone away" in shown and "what is missing there is kept in" in shown
    assert f"{RUN}: is complete again" in shown and not list((tmp_path / "home/runs").glob("*/*"))
    assert train("--config", recipe, "--output", "here") == 0
    assert losses(download(client, "metrics.jsonl", tmp_path / "sent.jsonl")) == losses(tmp_path / "here/metrics.jsonl")


def test_a_run_whose_store_is_gone_is_kept_here(
    client: Any, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(folders, "call", failing(range(10, 10_000)))
        assert train("--config", recipe, "--output", RUN) == 1
    *_, line = capsys.readouterr().err.strip().splitlines()
    [kept] = (tmp_path / "home/runs").glob("*/tiny")
    assert line.startswith(f"error: {RUN}/") and f"everything is kept in {kept}: copy it to the store" in line
    assert len(losses(kept / "metrics.jsonl")) == 6
    assert train("--config", recipe, "--output", RUN) == 1
    assert RUN in (line := error_line(capsys)) and "--resume" in line
    assert train("--resume", RUN, "train.epochs=3") == 0
    assert f"it continues from {kept}" in capsys.readouterr().out
    assert len(losses(download(client, "metrics.jsonl", tmp_path / "sent.jsonl"))) == 9
    assert not kept.exists()


def failing(numbers: range) -> Callable[..., object]:
    """Requests to a store, some of which fail."""
    count = itertools.count()

    def call(*arguments: Any, **options: Any) -> object:
        if next(count) in numbers:
            raise ConnectionError("gone away")
        return remote.call(*arguments, **options)

    return call


def test_an_evaluation_is_written_to_a_store(
    client: Any, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--config", recipe, "--output", "run", "train.epochs=1") == 0
    words = ("eval", "--checkpoint", "run", "--device", "cpu")
    assert command(*words, "--output", f"s3://{BUCKET}/runs/tiny/result.json") == 0
    assert f"written: s3://{BUCKET}/runs/tiny/result.json and, beside it, " in capsys.readouterr().err
    assert names(client) >= {"result.json", "result.scores.npz", "result.confusion.csv"}
    assert command(*words, "--output", "here/result.json") == 0
    assert download(client, "result.json", tmp_path / "sent").read_text() == (tmp_path / "here/result.json").read_text()
    assert command(*words, "--output", "s3://no-such-bucket/result.json") == 1
    assert "does not exist; check the address" in capsys.readouterr().err.splitlines()[-1]
    assert command(*words, "--output", f"s3://{BUCKET}/result.txt") == 1
