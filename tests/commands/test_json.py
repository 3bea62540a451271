"""`--json`: stdout is one line of JSON in every command that has it, and everything else is on stderr."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command
from tests.support.tiny import write_recipe

import trishift
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.commands.shared.outputs import print_json
from trishift.model.initialization import initial_tensors
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

SMALL = ("data.augmentation.flip=none", "train.batch_size=3", "train.epochs=1", "--folds", 2, "--device", "cpu")


@pytest.fixture(scope="module")
def folder(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights drawn at random, a run, its result, and a few clips in class folders."""
    folder = tmp_path_factory.mktemp("json")
    spec = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(div=4))
    save(
        folder / "w.safetensors",
        Checkpoint(initial_tensors(spec, 0), spec, InputSpec(resize=32, crop=32), tuple("abc")),
    )
    recipe = write_recipe(folder / "tiny.yaml", gestures, train={"epochs": 1, "batch_size": 12})
    assert command("train", "--config", recipe, "--output", folder / "run", "--no-report") == 0
    assert command("eval", "--checkpoint", folder / "run", "--output", folder / "one.json", "--no-report") == 0
    for label, clips in (("a", "0000"), ("b", "0001")):
        (folder / "clips" / label).mkdir(parents=True)
        for clip in sorted(gestures.rglob(f"*_{clips}.mp4"))[:4]:
            (folder / "clips" / label / clip.name).write_bytes(clip.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("eval", "--checkpoint", "run"), "top1"),
        (("audit", "--checkpoint", "run"), "verdict"),
        (("compare", "run", "one.json"), "rows"),
        (("fuse", "run/best.scores.npz", "one.scores.npz"), "parts"),
        (("probe", "clips", "--from", "w.safetensors", "--output", "out-p", *SMALL), "probe"),
        (("curve", "clips", "--from", "w.safetensors", "--output", "out-c", *SMALL), "law"),
        (("finetune", "clips", "--from", "w.safetensors", "--output", "out-f", *SMALL), "shipped"),
        (("benchmark", "--checkpoint", "w.safetensors", "--only", "pytorch", "--rounds", 1), "forms"),
        (("check", "clip.mp4", "--checkpoint", "w.safetensors", "--only", "eval"), "agrees"),
        (("inspect", "w.safetensors"), "sha256"),
        (("config", "gestures/tsm"), "train"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_stdout_is_one_value(
    words: tuple[object, ...],
    key: str,
    folder: Path,
    gestures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    (folder / "clip.mp4").write_bytes(next(iter(gestures.rglob("*.mp4"))).read_bytes())
    capsys.readouterr()
    assert command(*words, "--json") == 0
    output = capsys.readouterr().out
    assert output.count("\n") == 1 and key in json.loads(output)


def test_json_is_the_result_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert command("eval", "--checkpoint", folder / "run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "one.json").read_text())


def test_numbers_that_json_lacks_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [math.nan, 1.5, (math.inf,)], "b": Path("x"), 3: "caf\u00e9"})
    output = capsys.readouterr().out
    assert output == '{"a": [null, 1.5, [null]], "b": "x", "3": "caf\u00e9"}\n'
    print_json(np.float64(np.nan))
    assert capsys.readouterr().out == "null\n"


def test_there_is_one_way() -> None:
    commands = Path(trishift.__file__).parent / "commands"
    own = [path.name for path in commands.rglob("*.py") if re.search('"--json"|print\\(json', path.read_text())]
    assert own == ["outputs.py"]
