"""Trackers get every number through the interfaces of their own packages, and never end a training."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trishift.errors import RecipeError, TrainingError
from trishift.recipe import Recipe, recipe_from_dict, recipe_to_dict
from trishift.training.sinks import MetricsLog
from trishift.training.trackers import Trackers, check_trackers

RUN = """
calls = []
class Run:
    def log(self, data, step=None{more}):
        if data.get("train/loss") == 13:
            raise ConnectionError("no network")
        calls.append(("log", data, step))
    def finish(self, {finish}=None):
        calls.append(("finish",))
"""
FAKES = {  # with the parameters of wandb 0.31, swanlab 0.10 and mlflow 3.17
    "wandb": RUN.format(more=", commit=None", finish="exit_code")
    + "def init(entity=None, project=None, dir=None, id=None, name=None, notes=None, tags=None, config=None):\n"
    "    calls.append(('start', name, config))\n    return Run()\n",
    "swanlab": RUN.format(more="", finish="state")
    + "def init(*, reinit=None, log_dir=None, mode=None, project=None, name=None, config=None):\n"
    "    calls.append(('start', name, config))\n    return Run()\n",
    "mlflow": """
calls = []
def start_run(run_id=None, experiment_id=None, run_name=None, nested=False):
    calls.append(("start", run_name, {}))
def log_params(params, synchronous=None, run_id=None):
    assert len(params) <= 100
    calls[0][2].update(params)
def log_metrics(metrics, step=None, synchronous=None):
    calls.append(("log", metrics, step))
def end_run(status="FINISHED"):
    calls.append(("finish",))
""",
}


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    packages = tmp_path / "packages"
    packages.mkdir()
    for name, text in FAKES.items():
        (packages / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(packages)
    yield packages
    for name in FAKES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", FAKES)
def test_numbers_reach_the_service(fakes: Path, tmp_path: Path, name: str) -> None:
    check_trackers([name])
    folder = tmp_path / "run-3"
    folder.mkdir()
    recipe = recipe_to_dict(Recipe())
    log = MetricsLog(folder, trackers=Trackers([name], folder, recipe))
    log.write("train", 0, {"loss": 2.5, "lr": 0.1, "gradient_norm": float("nan")})
    log.write("evaluation", 0, {"top1": 0.5, "protocol": "1 clip"})
    log.close()
    start, *logged = importlib.import_module(name).calls
    assert start[:2] == ("start", "run-3")
    config: Any = start[2]
    assert (config["train.lr"] if name == "mlflow" else config["train"]["lr"]) == 0.01
    assert logged == [
        ("log", {"train/loss": 2.5, "train/lr": 0.1}, 0),
        ("log", {"evaluation/top1": 0.5}, 0),
        ("finish",),
    ]
    assert not (folder / "tensorboard").exists()


def test_a_failing_service_is_left(fakes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trackers = Trackers(["wandb", "mlflow"], tmp_path, {})
    with caplog.at_level(logging.WARNING):
        for loss in (13.0, 2.0):
            trackers.log({"train/loss": loss}, 0)
    assert [record.getMessage() for record in caplog.records] == [
        "log.to: wandb failed (no network); training goes on without it"
    ]
    assert len(importlib.import_module("mlflow").calls) == 3


def test_missing_packages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "swanlab").mkdir()  # its files, not its package
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "swanlab", raising=False)
    with pytest.raises(RecipeError, match=r"log\.to: swanlab is not installed; run: pip install swanlab"):
        check_trackers(["tensorboard", "swanlab"])


def test_a_service_that_refuses_the_run(fakes: Path, tmp_path: Path) -> None:
    (fakes / "wandb.py").write_text("def init(**settings):\n    raise RuntimeError('not logged in')\n")
    with pytest.raises(TrainingError, match=r"log\.to: wandb cannot start \(not logged in\)"):
        Trackers(["tensorboard", "wandb"], tmp_path, {})


def test_one_name_is_a_list() -> None:
    from trishift.recipe.layers import spell_out

    assert recipe_from_dict(spell_out({"log": {"to": "mlflow"}})).log.to == ("mlflow",)
    with pytest.raises(RecipeError, match="twice"):
        recipe_from_dict({"log": {"to": ["mlflow", "mlflow"]}})
