"""The data sets of a recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trishift.data import opening
from trishift.data.gestures import CLASSES
from trishift.data.opening import open_datasets, open_evaluation_set, shared_clips, unlabeled_set
from trishift.data.protocol import Protocol
from trishift.data.spec import DataSpec
from trishift.errors import DataError, RecipeError
from trishift.model.spec import InputSpec, ModelSpec

MODEL = ModelSpec(backbone="resnet10", num_classes=9, num_segments=4, width=8)
INPUT = InputSpec(resize=32, crop=24)


def test_recipe_paths_are_relative_to_root(gestures: Path, tmp_path: Path) -> None:
    spec = DataSpec(root=str(gestures), train_list="train.txt", val_list="val.txt", labels="labels.txt")
    train, val = open_datasets(spec, INPUT, MODEL, Protocol())
    assert (len(train), len(val), train.labels) == (36, 18, CLASSES)
    assert val.protocol == Protocol()
    (tmp_path / "lists").mkdir()
    for name in ("train.txt", "val.txt"):
        (tmp_path / "lists" / name).write_text((gestures / name).read_text())
    elsewhere = DataSpec(str(tmp_path / "lists"), str(gestures), "train.txt", "val.txt")
    test = open_evaluation_set(elsewhere, INPUT, MODEL, Protocol())
    assert test.labels == tuple("012345678")
    np.testing.assert_array_equal(test.load(0).clips, val.load(0).clips)


def test_recipes_without_lists_are_explained(gestures: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.train_list"):
        open_datasets(DataSpec(), INPUT, MODEL, Protocol())
    with pytest.raises(DataError, match=r"nowhere\.txt"):
        open_evaluation_set(DataSpec(root=str(gestures), val_list="nowhere.txt"), INPUT, MODEL, Protocol())


def test_without_class_names_each_list_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, rows in (("train", "a,0\nb,2\n"), ("val", "c,4\n")):
        (tmp_path / f"{name}.csv").write_text(f"path,label\n{rows}")
    read: list[str] = []
    original = opening.read_list
    monkeypatch.setattr(opening, "read_list", lambda path, *a, **k: read.append(path.name) or original(path, *a, **k))
    train, val = open_datasets(
        DataSpec(str(tmp_path), train_list="train.csv", val_list="val.csv"), INPUT, MODEL, Protocol()
    )
    assert val and train.labels == val.labels == tuple("01234") and train.class_counts().tolist() == [1, 0, 1, 0, 0]
    assert read == ["train.csv", "val.csv"] and not caplog.records


def test_shared_clips_are_videos_of_both_sets() -> None:
    def paths(*names: str) -> list[Path]:
        return [Path(name) for name in names]

    first, second, third = (
        unlabeled_set(names, INPUT, MODEL, Protocol())
        for names in (paths("/v/a", "/v/b#t=1,2", "/v/c", "/v/c"), paths("/v/b#t=3,4", "/v/c", "/w/a"), paths("/w/b"))
    )
    assert shared_clips(first, second) == ["/v/b", "/v/c"]
    assert shared_clips(first, third) == []
