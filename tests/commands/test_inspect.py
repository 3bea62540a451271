"""`inspect` in words and as JSON, and folders that are not weights."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command, error_line

from trishift.checkpoints.canonical import Checkpoint, save
from trishift.checkpoints.files import foreign_calls
from trishift.checkpoints.formats.paddle import write_pdparams

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


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_hostile_files_are_described_and_never_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path, program = tmp_path / "w.pth", pickle.dumps({"weight": np.ones(2), "x": Evil()}, 2)
    path.write_bytes(program)
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"x": Evil()}, 2))
            archive.writestr("archive/version", "3")
    assert command("inspect", path) == 3
    assert f"{path}: not read; its pickle would run posix.system('touch ran')" in capsys.readouterr().out
    assert command("inspect", "--json", path) == 3
    assert json.loads(capsys.readouterr().out)["would_run"] == ["posix.system('touch ran')"]
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("program", "calls"),
    [
        (
            b"\x80\x02cbuiltins\ngetattr\n(cos\nsystem\nX\x01\x00\x00\x00atR.",
            ["os.system", "builtins.getattr(os.system, 'a')"],
        ),
        (b"\x80\x02(S'touch ran'\nios\nsystem\n.", ["os.system('touch ran')"]),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.", ["os.system('touch ran')"]),
        (b"\x80\x02ctorch.hub\nload\n.", ["torch.hub.load"]),
        (b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00a\x85RX", ["os.system('a')"]),
        (b"\x80\x02}q\x00.", []),
    ],
)
def test_every_way_to_call_is_seen(program: bytes, calls: list[str], tmp_path: Path) -> None:
    (tmp_path / "w.pdparams").write_bytes(program)
    assert foreign_calls(tmp_path / "w.pdparams") == calls


def test_unrecognized_weights_have_their_own_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pdparams(tmp_path / "w.pdparams", {"some.weight": np.ones(2, np.float32)}, {})
    assert command("inspect", tmp_path / "w.pdparams") == 4
    assert "unknown family" in capsys.readouterr().out


def test_worst_file_decides_and_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pdparams(tmp_path / "unknown.pdparams", {"some.weight": np.ones(2, np.float32)}, {})
    (tmp_path / "hostile.pdparams").write_bytes(b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00a\x85R.")
    missing, unknown, hostile = (tmp_path / name for name in ("none.pth", "unknown.pdparams", "hostile.pdparams"))
    assert command("inspect", missing, unknown) == 1
    shown = capsys.readouterr()
    assert "unknown family" in shown.out and "none.pth: no such file" in shown.err
    assert command("inspect", hostile, missing, unknown) == 3
    assert "would run os.system" in capsys.readouterr().out
