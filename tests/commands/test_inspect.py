"""`inspect` in words and as JSON, and folders that are not weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command, error_line

from trishift.checkpoints.canonical import Checkpoint, save

META = {"recipe": {"name": "tiny", "input": {"mean": [0.5, 0.25]}}, "metrics": {"top1": 0.75, "epoch": 2}}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save(path, Checkpoint({"a": np.zeros((2, 3), np.float32)}, meta=META))
    return path


def test_facts_are_readable(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("inspect", weights) == 0
    text = capsys.readouterr().out
    assert "  1 tensor of 6 numbers (1 float32)" in text
    assert "  recipe: name tiny, input.mean (0.5, 0.25)\n  metrics: top1 0.75, epoch 2\n" in text
    assert not set("{}[]'") & set(text.replace(str(weights), ""))


def test_json_holds_everything(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("inspect", "--json", weights, weights) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == second
    assert first["path"] == str(weights) and first["dtypes"] == {"float32": 1} and first["meta"] == META


@pytest.mark.parametrize(
    ("entries", "held"),
    [
        ([], "holds nothing; expected a weight file, a run folder"),
        (
            ["wave/a.mp4", "b.mp4", "c.mp4", "notes.txt"],
            "holds 1 folder and 3 files (b.mp4, c.mp4, notes.txt and 1 more)",
        ),
        (["img_00001.jpg"], "holds 1 file (img_00001.jpg), none of them weights"),
    ],
)
@pytest.mark.parametrize("words", [["inspect"], ["infer", "clip.mp4", "--checkpoint"]])
def test_other_folders_say_what_they_hold(
    tmp_path: Path, words: list[str], entries: list[str], held: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in entries:
        (tmp_path / entry).parent.mkdir(exist_ok=True)
        (tmp_path / entry).write_bytes(b"\x00\x00\x00\x1cftypisom")
    assert command(*words, tmp_path) == 1
    assert held in error_line(capsys)
