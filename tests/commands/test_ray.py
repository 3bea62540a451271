"""`--engine ray`: a cluster of two nodes predicts what this process predicts, and survives the loss of one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.command_line import command
from tests.support.long_lists import write_long_list
from tests.support.ray_nodes import end_node, ray_cluster

from trishift.evaluation.prediction_job import PredictionJob, _WrittenJob
from trishift.io.cluster import _Pool

pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")

CLIPS, BROKEN = 400, (5, 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a list of clips, two of which cannot be read."""
    return write_long_list(tmp_path_factory.mktemp("ray"), CLIPS, BROKEN, 3, labeled=False)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes, each with room for one process."""
    with ray_cluster(monkeypatch, nodes=2) as cluster:
        yield cluster


def infer(folder: Path, output: Path, *more: object) -> int:
    inputs = ("--filelist", folder / "list.txt", "--batch-size", 2, "--workers", 1, "--device", "cpu")
    return command("infer", "--checkpoint", folder / "model.safetensors", *inputs, "--output", output, *more)


def rows(path: Path) -> dict[str, object]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = {line["video"]: {e["label"]: round(e["probability"], 6) for e in line["predictions"]} for line in lines}
    assert len(found) == len(lines)
    return found


def test_a_cluster_that_loses_a_node_predicts_like_one_process(
    folder: Path, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert infer(folder, tmp_path / "local.jsonl") == 0
    add, opening, lost = _WrittenJob.add, _Pool.opening, []

    def stopped(self: PredictionJob, *arguments: object) -> None:
        add(self, *arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    def opened_twice(self: _Pool, wanted: Callable[[], int]) -> object:
        description = opening(self, wanted)
        while len(self._ready) < 2:
            for reference in self._done():
                self._advance(reference)
        return description

    def after_a_kill(self: PredictionJob, *arguments: object) -> None:
        if not lost:
            lost.append(cluster.others[0])
            end_node(cluster, lost[0])
        add(self, *arguments)  # type: ignore[arg-type]

    output, ray_engine = tmp_path / "ray.jsonl", ("--engine", "ray", "--ray-address", cluster.address)
    with monkeypatch.context() as patch:
        patch.setattr(_WrittenJob, "add", stopped)
        assert infer(folder, output, *ray_engine) == 130
    assert 0 < len(output.read_text().splitlines()) < CLIPS
    monkeypatch.setattr(_Pool, "opening", opened_twice)
    monkeypatch.setattr(_WrittenJob, "add", after_a_kill)
    assert infer(folder, output, *ray_engine) == 0
    assert rows(output) == rows(tmp_path / "local.jsonl")
    name = "ray.jsonl.missing.csv"
    assert sorted((tmp_path / name).read_text().splitlines()) == sorted(
        (tmp_path / "local.jsonl.missing.csv").read_text().splitlines()
    )
    assert caplog.text.count("a process was lost") == 1


def test_a_cluster_writes_the_features_of_one_process(folder: Path, tmp_path: Path, cluster: Any) -> None:
    (folder / "few.txt").write_text("".join(f"{number:03}.mp4\n" for number in range(40)))
    inputs = ("--filelist", folder / "few.txt", "--workers", 1, "--device", "cpu")
    for name, more in (("local", ()), ("ray", ("--engine", "ray", "--ray-address", cluster.address))):
        output = ("--output", tmp_path / name)
        assert command("features", "--checkpoint", folder / "model.safetensors", *inputs, *output, *more) == 0
    names = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert len(names) == 40 and names[-1] == "features.missing.csv"
    assert sorted(path.name for path in (tmp_path / "ray").iterdir()) == names
    for name in names[:-1]:
        local, ray_s = (np.load(tmp_path / engine / name)["pooled"] for engine in ("local", "ray"))
        np.testing.assert_allclose(ray_s, local, atol=1e-6)


def test_a_cluster_writes_the_timelines_of_one_process(
    folder: Path, tmp_path: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "some.txt").write_text("".join(f"{number:03}.mp4\n" for number in range(8)))
    inputs = (
        "--filelist",
        folder / "some.txt",
        "--window",
        0.2,
        "--hop",
        0.1,
        "--enter",
        0.3,
        "--device",
        "cpu",
        "--workers",
        1,
    )
    printed = []
    for name, more in (("local", ()), ("ray", ("--engine", "ray", "--ray-address", cluster.address))):
        output = ("--output", *(tmp_path / name / f"{{name}}.{suffix}" for suffix in ("jsonl", "csv")))
        assert command("timeline", "--checkpoint", folder / "model.safetensors", *inputs, *output, *more) == 0
        captured = capsys.readouterr()
        assert "1 of 8 videos could not be read" in captured.err
        printed.append(sorted(captured.out.splitlines()))
    assert printed[0] == printed[1] != []
    names = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert len(names) == 15 and "timelines.missing.csv" in names  # two files each of seven videos
    assert sorted(path.name for path in (tmp_path / "ray").iterdir()) == names
    for name in names:
        (words, local), (others, ray_s) = (taken_apart(tmp_path / engine / name) for engine in ("local", "ray"))
        assert words == others
        np.testing.assert_allclose(ray_s, local, atol=1e-6)


def taken_apart(path: Path) -> tuple[list[str], list[float]]:
    """The words of a file, and its numbers with a decimal point."""
    words = re.split(r"(\d+\.\d+)", path.read_text())
    return words[::2], [float(number) for number in words[1::2]]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "--engine ray: there is no Ray cluster at 127.0.0.1:9 ("),
        ("somewhere", "--ray-address somewhere: write it as HOST:PORT or ray://HOST:PORT"),
        (None, "--engine ray: there is no Ray cluster on this machine ("),
    ],
)
def test_a_missing_cluster_is_one_line(
    folder: Path,
    tmp_path: Path,
    address: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    begin = time.monotonic()
    more = () if address is None else ("--ray-address", address)
    assert infer(folder, tmp_path / "p.jsonl", "--engine", "ray", *more) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert time.monotonic() - begin < 60
    assert not list(tmp_path.iterdir())
