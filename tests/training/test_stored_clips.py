"""The same training run from files, from shards and from an object store; also resumed within an epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support import isolated
from tests.support.object_store import object_store, upload
from tests.support.tiny import write_recipe

from trishift.backends import FRAMEWORKS
from trishift.checkpoints.training_state import load_state
from trishift.data.prepare.shards import prepare_shards
from trishift.errors import spelled_addresses
from trishift.recipe import load_recipe
from trishift.training.interruption import Interrupted
from trishift.training.run import train
from trishift.training.trainer import Trainer

PLACES = ("shards", "store", "shards in the store")


@pytest.fixture(scope="module")
def recipes(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The same recipe for each place of the clips."""
    folder = tmp_path_factory.mktemp("stored")
    lists = [gestures / name for name in ("train.txt", "val.txt")]
    prepare_shards(lists, folder / "shards", labels=gestures / "labels.txt", shard_size=80_000)
    with object_store() as client:
        roots = {"files": gestures, "shards": folder / "shards"}
        roots |= {"store": upload(client, gestures, "files")}
        roots |= {"shards in the store": upload(client, folder / "shards", "shards")}
        found = {}
        for name, root in roots.items():
            data = {
                "root": spelled_addresses(root),
                "train_list": "train.txt",
                "val_list": "val.txt",
                "augmentation": {"flip": "none"},
            }
            found[name] = write_recipe(folder / f"{name}.yaml", root, data=data, train={"epochs": 2})
        yield found


def losses(folder: Path) -> list[float]:
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [record["loss"] for record in records if record["kind"] == "train"]


def run(recipe: Path, output: Path, resume: Path | None = None) -> None:
    train(load_recipe(recipe), "pytorch", output, resume=resume)


@pytest.fixture(scope="module")
def files(recipes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run from files."""
    output = tmp_path_factory.mktemp("runs") / "files"
    run(recipes["files"], output)
    return output


@pytest.mark.parametrize("place", PLACES)
def test_losses_do_not_depend_on_the_place_of_the_clips(
    place: str, recipes: dict[str, Path], files: Path, tmp_path: Path
) -> None:
    run(recipes[place], tmp_path / "run")
    assert losses(tmp_path / "run") == losses(files)
    assert len(losses(files)) == 6


@pytest.mark.parametrize("place", PLACES)
def test_a_run_resumes_within_an_epoch_in_another_place(
    place: str, recipes: dict[str, Path], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops in the middle of the second epoch, and goes on from the files."""
    step = Trainer._step

    def stopped(self: Trainer, epoch: int, index: int, *rest: object) -> object:
        result = step(self, epoch, index, *rest)  # type: ignore[arg-type]
        if (epoch, index) == (1, 1):
            self._save(self._position.__class__(1, index + 1, 5, self._position.best, self._position.kept), {})
            raise Interrupted("stopped")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stopped)
        with pytest.raises(Interrupted):
            run(recipes[place], tmp_path / "run")
    _, state = load_state(tmp_path / "run/last.safetensors")
    assert (state.epoch, state.batch) == (1, 2)
    run(recipes["files"], tmp_path / "run", resume=tmp_path / "run")
    (first, _), (second, _) = (load_state(path / "last.safetensors") for path in (files, tmp_path / "run"))
    assert all(np.array_equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


@pytest.mark.parametrize("framework", FRAMEWORKS[1:])
def test_other_frameworks_read_them_too(framework: str, recipes: dict[str, Path], files: Path, tmp_path: Path) -> None:
    pytest.importorskip(framework if framework == "mindspore" else "paddle") if framework == "paddle" else None
    words = ("--config", recipes["shards in the store"], "--framework", framework, "--output", tmp_path / "run")
    isolated.python("-m", "trishift", "train", *words, "--device", "cpu", "train.epochs=1", "--no-report")
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(files)[:3], rtol=1e-3)
