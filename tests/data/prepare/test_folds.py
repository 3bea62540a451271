"""Your own clips in folds: whole groups, ready splits, and refusals before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trishift.data.lists import read_list
from trishift.data.prepare import prepare_folder
from trishift.data.prepare.folds import open_folds
from trishift.errors import DataError


def write_lists(folder: Path, people: int = 4, **lists: str) -> Path:
    """Prepared lists of two classes; the clips, which are never opened, do not exist."""
    folder.mkdir(exist_ok=True)
    clips = [f"{name}/p{person}_{take}.mp4 9 {label}" for label, name in enumerate(("clap", "wave"))
             for person in range(people) for take in range(2)]  # fmt: skip
    (folder / "labels.txt").write_text("clap\nwave\n", encoding="utf-8")
    for name, text in {"train.txt": "\n".join(clips), **lists}.items():
        (folder / name.replace("_csv", ".csv")).write_text(text + "\n", encoding="utf-8")
    return folder


def test_folds_keep_groups_together(tmp_path: Path) -> None:
    folds = open_folds(write_lists(tmp_path / "lists"), tmp_path / "work", folds=4, groups="/(p[0-9])")
    assert len(folds) == 4 and (folds.validated.sum(axis=0) == 1).all()
    for mask in folds.validated:
        inside = {group for group, val in zip(folds.groups, mask, strict=True) if val}
        outside = {group for group, val in zip(folds.groups, mask, strict=True) if not val}
        assert inside and not inside & outside
    folds.write(tmp_path / "out")
    listed = read_list(tmp_path / "out" / "val_2.csv")
    assert {record.group for record in listed} == {
        g for g, v in zip(folds.groups, folds.validated[2], strict=True) if v
    }
    assert len(read_list(tmp_path / "out" / "all.csv")) == 16
    again = open_folds(write_lists(tmp_path / "lists"), tmp_path / "work", folds=4, groups="/(p[0-9])")
    assert np.array_equal(again.validated, folds.validated)


def test_ready_split_and_folds_are_kept(tmp_path: Path) -> None:
    split = {"val.txt": "clap/x.mp4 9 0\nwave/x.mp4 9 1"}
    folds = open_folds(write_lists(tmp_path / "split", **split), tmp_path)
    assert len(folds) == 1 and folds.validated.sum() == 2
    assert len(open_folds(tmp_path / "split", tmp_path, folds=3)) == 3
    ready = {**split, "val_0.txt": "clap/p0_0.mp4 9 0", "val_1.txt": "wave/p1_0.mp4 9 1\nwave/x.mp4 9 1"}
    folds = open_folds(write_lists(tmp_path / "ready", **ready), tmp_path)
    assert folds.validated.sum(axis=1).tolist() == [1, 2]
    assert len(open_folds(write_lists(tmp_path / "plain"), tmp_path)) == 5


def test_groups_of_prepare_are_used(write_noise: Callable[..., Path], tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    for number in range(12):
        write_noise(clips / ("wave", "clap")[number % 2] / f"p{number % 3}_{number}.mp4", number)
    prepare_folder(clips, tmp_path / "lists", groups=r"/(p\d)_", val_fraction=0)
    folds = open_folds(tmp_path / "lists", tmp_path / "work", folds=3)
    assert sorted(set(folds.groups)) == ["p0", "p1", "p2"]
    direct = open_folds(clips, tmp_path / "work", folds=3, groups=r"/(p\d)_")
    assert direct.groups == folds.groups and np.array_equal(direct.validated, folds.validated)


@pytest.mark.parametrize(
    ("people", "options", "message"),
    [
        (3, {"folds": 4, "groups": "/(p[0-9])"}, "3 groups cannot fill 4 folds; use --folds 3"),
        (3, {"folds": 2, "groups": "mp4"}, "all clips belong to the group"),
        (3, {"folds": 1}, "needs 2 or more folds"),
        (3, {"folds": 2, "groups": "^(clap|wave)"}, "class clap has clips of 1 group, so fold"),
    ],
)
def test_impossible_folds(people: int, options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        open_folds(write_lists(tmp_path / "lists", people), tmp_path / "work", **options)


def test_clips_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        open_folds(tmp_path / "nowhere", tmp_path)


def test_several_labels(tmp_path: Path) -> None:
    rows = "path,label\n" + "\n".join(f"{n}.mp4,{'' if n % 3 == 0 else '0;1' if n % 3 == 1 else '1'}" for n in range(9))
    (tmp_path / "labels.txt").write_text("clap\nwave\n", encoding="utf-8")
    (tmp_path / "train.csv").write_text(rows + "\n", encoding="utf-8")
    folds = open_folds(tmp_path, tmp_path, folds=3)
    assert folds.multi_label and folds.targets[:3].tolist() == [[0, 0], [1, 1], [0, 1]]
