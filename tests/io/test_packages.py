"""Packages are found in any of their builds, and their requirements are compared with what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from trishift.io.packages import installed, unmet


def distribution(folder: Path, name: str, number: str, *requirements: str) -> None:
    info = folder / f"{name.replace('-', '_')}-{number}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {number}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {text}" for text in requirements), ""]))


def test_other_builds_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert installed("paddlepaddle") is None
    distribution(tmp_path, "paddlepaddle-gpu", "3.3.1")
    distribution(tmp_path, "onnxruntime-gpu", "1.31.1")
    assert installed("paddlepaddle") == ("paddlepaddle-gpu", "3.3.1")
    assert installed("onnxruntime") == ("onnxruntime-gpu", "1.31.1")
    distribution(tmp_path, "onnxruntime", "1.30.0")
    assert installed("onnxruntime") == ("onnxruntime", "1.30.0")


def test_unmet_requirements_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "numpy", "2.1.0")
    distribution(tmp_path, "pillow", "11.0")
    wanted = ("numpy<2.0.0,>=1.20.0", "pillow>=6", "absent>=1", "colorama; extra == 'color'", "old; python_version<'3'")
    distribution(tmp_path, "mindspore", "2.8.0", *wanted)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert list(unmet("mindspore")) == [("numpy<2.0.0,>=1.20.0", "2.1.0"), ("absent>=1", "nothing")]
    assert not list(unmet("pillow"))


def test_requirements_of_an_extra_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "paddlepaddle-gpu", "3.0.0")
    wanted = ("absent>=1", "paddlepaddle>=3.1; extra == 'paddle'", "torch>=2.4; extra == 'pytorch'")
    distribution(tmp_path, "trishift", "0.1.0", *wanted)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert list(unmet("trishift", "paddle")) == [("paddlepaddle-gpu>=3.1", "3.0.0")]
    assert list(unmet("trishift", "pytorch")) == [("torch>=2.4", "nothing")]
    assert list(unmet("trishift")) == [("absent>=1", "nothing")]
    assert not list(unmet("never-installed"))
