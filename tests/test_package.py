"""The built package: everything in it, nothing else, and one version. `scripts/check_package.sh` installs it, too."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from testing.package_contents import problems
from tests.support.paths import ROOT

from trishift.version import __version__

BUILD = """
from setuptools.build_meta import build_sdist, build_wheel
build_sdist("dist")
build_wheel("dist")
"""
SOURCES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "requirements.txt", "CHANGELOG.md", "CITATION.cff")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist and the wheel, built from a copy of the sources."""
    pytest.importorskip("setuptools")
    copy = tmp_path_factory.mktemp("package")
    for name in SOURCES:
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "configs", copy / "configs")
    shutil.copytree(
        ROOT / "src", copy / "src", symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    (copy / "tests").mkdir()
    shutil.copy(__file__, copy / "tests")
    subprocess.run([sys.executable, "-c", BUILD], cwd=copy, check=True, capture_output=True)
    return copy / "dist"


def test_wheel_contains_the_package_and_nothing_else(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    assert problems(wheel) == []


def test_sdist_can_be_built_and_has_no_tests(dist: Path) -> None:
    [archive] = dist.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/trishift/configs/gestures/tsm.yaml"} <= names
    assert not [name for name in names if name.startswith("tests")]


def test_version_is_written_once(dist: Path) -> None:
    assert sorted(path.name for path in dist.iterdir()) == [
        f"trishift-{__version__}-py3-none-any.whl",
        f"trishift-{__version__}.tar.gz",
    ]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == __version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest and newest[1] == __version__
