"""`trishift config` and `trishift doctor`: recipes as they run, their keys, and the state of the machine."""

from __future__ import annotations

import json
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import pytest
import yaml
from tests.support.command_line import command

from trishift.io import packages
from trishift.recipe import load_recipe, recipe_to_dict, save_recipe
from trishift.reporting import environment


@pytest.mark.parametrize("option", [[], ["--print"]])
def test_recipe_is_printed_as_it_runs(option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load_recipe("gestures/tsm", ["train.lr=0.5"])
    assert command("config", "gestures/tsm", "train.lr=0.5", *option) == 0
    assert yaml.safe_load(capsys.readouterr().out) == recipe_to_dict(recipe)
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert command("config", tmp_path, "--diff", "gestures/tsm") == 0
    assert capsys.readouterr().out == "train.lr: 0.05 -> 0.5\n"
    assert command("config", tmp_path, "--diff", tmp_path) == 0
    assert "are equal" in capsys.readouterr().out


def test_keys_are_found_by_name_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("config", "--keys", "focal", "--json") == 0
    assert [key["name"] for key in json.loads(capsys.readouterr().out)] == ["train.loss.focal_gamma"]
    assert command("config", "--keys", "momentm") == 1
    assert "did you mean 'train.momentum'?" in capsys.readouterr().err
    assert command("config") == 1
    assert "no recipe is given" in capsys.readouterr().err


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Frameworks that are not imported."""
    monkeypatch.setattr(environment, "_PROBE", "print({!r} and 'cpu')")
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "home"))


@pytest.mark.usefixtures("quick")
def test_doctor_reports_versions_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)["checks"]
    groups = [group for group, _ in groupby(found, key=lambda check: check["group"])]
    assert groups == ["machine", "frameworks", "decoding", "optional", "folders"]
    checks = {check["name"]: check for check in found}
    assert checks["pytorch"]["detail"] == f"{version('torch')}, best device: cpu"
    assert checks["PyAV"]["detail"].startswith(version("av")) and checks["decoders"]["state"] == "ok"
    assert str(tmp_path / "home") in checks["downloads and programs"]["detail"] and not (tmp_path / "home").exists()


@pytest.mark.usefixtures("quick")
def test_doctor_finds_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def installed(package: str) -> tuple[str, str] | None:
        if package in ("torch", "onnx"):
            return None
        return {"mindspore": (package, "2.9.0"), "paddlepaddle": ("paddlepaddle-gpu", "3.0")}.get(package, ("", "3.0"))

    monkeypatch.setattr(environment, "installed", installed)
    clashes = {"trishift": [("paddlepaddle-gpu>=3.1", "3.0")], "paddlepaddle-gpu": [("numpy<2", "2.1.0"), ("a>1", "1")]}
    monkeypatch.setattr(environment, "unmet", lambda package, extra="": iter(clashes.get(package, [])))
    (tmp_path / "home").write_text("a file")
    assert command("doctor") == 1
    lines = capsys.readouterr().out.splitlines()
    assert "  missing pytorch: not installed; in the Trishift repository, run: pip install '.[pytorch]'" in lines
    assert any(line.startswith("  problem mindspore: 2.9.0 may compute 100 times slower") for line in lines)
    clash = "needs paddlepaddle-gpu>=3.1, found 3.0; numpy<2, found 2.1.0; a>1, found 1"
    remedy = "pip install 'paddlepaddle-gpu>=3.1' 'numpy<2' 'a>1'"
    assert f"  problem paddle: 3.0 (paddlepaddle-gpu) {clash}; {remedy}" in lines
    assert any(line.startswith("  problem Trishift: ") for line in lines)
    assert any(line.startswith("  missing onnx: not installed, writes ONNX exports") for line in lines)
    assert any(line.startswith("  problem downloads and programs:") for line in lines)
    monkeypatch.setattr(environment, "_PROBE", "raise ImportError('libcudart.so is missing, not {}')")
    assert command("doctor") == 1
    assert (
        "3.0 (paddlepaddle-gpu) cannot be imported (ImportError: libcudart.so is missing, not paddle)"
        in capsys.readouterr().out
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "package", "old", "bound"),
    [
        ("pytorch", "torch", "2.3.1", "torch>=2.4"),
        ("paddle", "paddlepaddle", "3.0.0", "paddlepaddle>=3.1"),
        ("onnx", "onnx", "1.15.0", "onnx>=1.16"),
        ("Trishift", "pydantic", "2.4.0", "pydantic>=2.5"),
    ],
)
def test_doctor_compares_with_the_bounds_of_the_package(
    name: str, package: str, old: str, bound: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def older(asked: str) -> str:
        return old if asked == package else version(asked)

    monkeypatch.setattr(packages, "version", older)
    assert command("doctor", "--json") == 1
    check = next(check for check in json.loads(capsys.readouterr().out)["checks"] if check["name"] == name)
    assert check["state"] == "problem" and bound in check["remedy"]


def test_doctor_without_any_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", dict.fromkeys(environment.FRAMEWORKS, "no-such-package"))
    problems = [check.detail for check in environment.examine() if check.state == "problem"]
    assert problems == ["no framework is installed"]
