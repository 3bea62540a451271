"""`trishift publish`: a folder with weights and a model card of what the checkpoint knows."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from testing.originals import model_of
from tests.support.command_line import command, error_line

from trishift.checkpoints.canonical import load, save
from trishift.model.spec import ModelSpec

META = {"recipe": {"name": "tiny", "data": {"root": "/home/me/clips", "val_list": "val.txt"}}, "metrics": {"top1": 0.5}}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    checkpoint = replace(model_of(ModelSpec("resnet10", 2, 2, width=8)), labels=("wave", "point"), meta=META)
    save("tiny.safetensors", checkpoint)
    result = {"protocol": "1 clip, center crop", "videos": 40, "missed": 1, "top1": 0.875, "top5": 1.0}
    Path("result.json").write_text(json.dumps(result))
    Path("result.confusion.png").write_bytes(b"picture")
    return Path("tiny.safetensors")


def test_card_states_what_is_known(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("publish", weights, "--license", "apache-2.0", "--evaluation", "result.json") == 0
    folder = Path("published/tiny")
    assert "1 local path in the recipe shortened" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "confusion.png",
        "model.safetensors",
    ]
    card = (folder / "README.md").read_text("utf-8")
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "apache-2.0" and head["library_name"] == "trishift"
    for text in (
        "resnet10, 2 segments",
        "wave, point",
        "| top1 | 0.875 |",
        "1 clip, center crop; videos: 40",
        "trishift.load(",
    ):
        assert text in card
    assert "/home/me" not in card + (folder / "config.json").read_text("utf-8")
    assert load(folder / "model.safetensors").meta["recipe"]["data"] == {"root": "clips", "val_list": "val.txt"}


def test_figures_of_training_are_named_as_such(weights: Path) -> None:
    assert command("publish", weights, "--license", "mit", "--output", "card") == 0
    card = Path("card/README.md").read_text("utf-8")
    assert "| top1 | 0.5 |" in card and "measured on the validation list during training" in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--license", "No License"], "--license No License: use an identifier such as apache-2.0"),
        (["--license", "mit", "--output", "."], ".: exists; name a new folder with --output"),
        (["--license", "mit", "--evaluation", "none.json"], "none.json: cannot be read"),
        (["--license", "mit", "--evaluation", "tiny.safetensors"], "is no result.json of trishift eval"),
    ],
)
def test_mistakes_leave_no_folder(
    words: list[str], message: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("publish", weights, *words) == 1
    assert message in error_line(capsys)
    assert not list(Path().glob("published/*"))


def test_mistakes_are_found_before_the_weights_are_read(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights.write_bytes(b"not weights, which is noticed later")
    assert command("publish", weights, "--license", "mit", "--evaluation", "none.json") == 1
    assert "none.json: cannot be read" in error_line(capsys)
    if find_spec("huggingface_hub"):
        monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
        assert command("push", weights, "hf://me/model", "--license", "mit") == 1
        assert "hf://me/model: uploads need a token; set HF_TOKEN" in error_line(capsys)
