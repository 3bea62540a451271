"""Weights and runs in an object store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.command_line import command
from tests.support.object_store import object_store, upload
from tests.support.tiny import write_recipe

from trishift.errors import CheckpointError, SettingError
from trishift.io.locks import locked
from trishift.recipe import load_recipe
from trishift.training.run import train
from trishift.zoo.sources import WeightSource


def test_a_run_in_a_store_evaluates_clips_in_a_store(
    gestures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "home"))
    recipe = write_recipe(tmp_path / "tiny.yaml", gestures)
    train(load_recipe(recipe), "pytorch", tmp_path / "run")
    with object_store() as client:
        upload(client, tmp_path / "run", "runs/tiny")
        upload(client, gestures, "files")
        run = "s3://clips/runs/tiny"
        assert WeightSource(run).fetch().read_bytes() == (tmp_path / "run/best.safetensors").read_bytes()
        assert WeightSource(f"{run}/last.safetensors").fetch().name == "last.safetensors"
        with pytest.raises(CheckpointError, match=r"^s3://clips/none\.pth: does not exist; check the address"):
            WeightSource("s3://clips/none.pth").fetch()
        results, _ = [], capsys.readouterr()
        for place, root in ((str(tmp_path / "run"), str(gestures)), (run, "s3://clips/files")):
            assert command("eval", "--checkpoint", place, "--device", "cpu", f"data.root={root}") == 0
            results.append([line for line in capsys.readouterr().out.splitlines() if "top-1" in line])
        assert results[0] == results[1] and results[0]
        listed = ["--filelist", "s3://clips/files/val.txt", "--output", str(tmp_path / "out.csv")]
        assert command("infer", "--checkpoint", run, "--device", "cpu", *listed) == 0
        assert len((tmp_path / "out.csv").read_text().splitlines()) > 18
        clip = "s3://clips/files/val/" + next((gestures / "val").iterdir()).name
        assert command("infer", "--checkpoint", run, "--device", "cpu", clip) == 0
        assert clip in capsys.readouterr().out
        assert command("infer", "--checkpoint", run, clip, "--output", "s3://clips/out.csv") == 1
        assert "s3://clips/out.csv: results are written to this machine" in capsys.readouterr().err


def test_copies_used_longest_ago_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path))
    monkeypatch.setenv("TRISHIFT_REMOTE_CACHE_GB", "0.000025")
    with object_store() as client:

        def obtained(content: bytes) -> Path:
            client.put_object(Bucket="clips", Key="a.pth", Body=content)
            return WeightSource("s3://clips/a.pth").fetch()

        paths = [obtained(bytes([number]) * 10_000) for number in range(3)]
        assert all(path.is_file() for path in paths)  # used within the last hour
        for age, path in enumerate(paths):
            os.utime(path.parent, (age, age))
        paths.append(obtained(b"x" * 10_000))
        assert [path.is_file() for path in paths] == [False, False, True, True]
        with locked(paths[2].parent):  # another process is writing there
            os.utime(paths[2].parent, (1, 1))
            obtained(b"y" * 20_000)
            assert paths[2].is_file()
        monkeypatch.setenv("TRISHIFT_REMOTE_CACHE_GB", "ten")
        with pytest.raises(SettingError, match="TRISHIFT_REMOTE_CACHE_GB=ten"):
            obtained(b"z")
