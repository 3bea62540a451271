"""Recipes by name: from any folder, and from a wheel."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from scripts.list_recipes import CONFIGS
from tests.support.paths import ROOT

from trishift.errors import RecipeError
from trishift.recipe import load_recipe
from trishift.recipe.finding import find_recipe

NAMES = ["gestures/tsm", "gestures/tsm.yaml", "configs/gestures/tsm", "configs/gestures/tsm.yaml"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_names_work_in_any_folder_and_the_file_is_said(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert load_recipe(name) == load_recipe(CONFIGS / "gestures" / "tsm.yaml")
    assert [record.getMessage() for record in caplog.records] == [f"recipe {name}: {CONFIGS}/gestures/tsm.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_on_disk_wins(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = (tmp_path / name).with_suffix(".yaml")
    path.parent.mkdir(parents=True)
    path.write_text("name: mine\n")
    assert load_recipe(name).name == "mine"
    assert len(caplog.records) == (not name.endswith(".yaml"))


@pytest.mark.parametrize("key", ["base", "_base_"])
def test_own_recipes_inherit_from_shipped_ones(key: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"{key}: gestures/tsm\ntrain: {{epochs: 2}}\n")
    recipe = load_recipe("mine.yaml")
    assert (recipe.name, recipe.train.epochs) == ("gestures-tsm", 2)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("gesture/tsm", "gestures/tsm"),
        ("configs/gestures/tms.yaml", "gestures/tsm"),
        ("tsm", "gestures/tsm"),
        ("somethingv1/tsm_r50_8", "somethingv1/tsm_r50_8f"),
        ("zzz/zzz", "a name such as gestures/tsm"),
        ("gestures", " gestures/tsm"),
        ("../gestures/tsm.yaml", "gestures/tsm"),
    ],
)
def test_unknown_names_get_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(RecipeError, match=f"{name}: no such recipe file.*{nearest}"):
        find_recipe(name)


def test_a_name_too_long_for_a_file_is_refused() -> None:
    with pytest.raises(RecipeError, match="cannot be read: File name too long") as caught:
        find_recipe("x" * 5000)
    assert len(str(caught.value)) < 1100


def test_the_wheel_contains_recipes_and_labels(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", "68")
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    work = tmp_path / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE", "configs", "src"):  # a build writes beside its sources
        work.mkdir(exist_ok=True)
        subprocess.run(["cp", "-R", "--preserve=links", str(ROOT / name), str(work)], check=True)
    done = subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=work, check=True, capture_output=True)
    wheel = tmp_path / done.stdout.split()[-1].decode()
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        folder = "trishift/configs/"
        yaml = [name for name in archive.namelist() if name.startswith(folder) and name.endswith(".yaml")]
        shipped = {name.removeprefix(folder) for name in yaml}
        archive.extractall(site)
    assert shipped == {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")}
    script = (
        "import trishift; from trishift.recipe import load_recipe; from trishift.data.lists import find_labels; "
        "print(trishift.__file__, load_recipe('gestures/tsm').name, find_labels('jester').read_text()[:5])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), sysconfig.get_path("purelib")])}
    empty = tmp_path / "empty"
    empty.mkdir()
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=empty, env=environment, check=True, capture_output=True, text=True
    )
    assert told.stdout.split() == [str(site / "trishift" / "__init__.py"), "gestures-tsm", "Doing"]
    assert told.stderr.startswith(f"recipe gestures/tsm: {site}")


def test_shipped_labels_are_found_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from trishift.data.lists import find_labels, read_labels

    caplog.set_level(logging.WARNING)
    assert len(read_labels(find_labels("jester"))) == 27
    assert find_labels("jester.txt") == find_labels("jester", tmp_path / "jester") != Path("jester.txt")
    assert len(caplog.records) == 3
    (tmp_path / "jester").write_text("wave\n")
    assert find_labels("jester") == Path("jester")
    assert find_labels("labels.txt") == Path("labels.txt")  # reading it reports that it is missing
