"""Lists from class folders: no unreadable clips, no duplicates, stratified splits, whole groups."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from trishift.cli import main
from trishift.data.gestures.encoding import write_clip
from trishift.data.lists import read_labels, read_list
from trishift.data.prepare import PreparationReport, prepare_folder
from trishift.data.prepare.splitting import group_clips, split
from trishift.errors import DataError


def _write(path: Path, frames: int = 8, seed: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(crc32(path.name.encode()) if seed is None else seed)
    write_clip(path, rng.integers(0, 256, (frames, 32, 32, 3), np.uint8))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two classes of 5 clips, wave0..4 and clap0..4, by three people."""
    folder = tmp_path / "clips"
    for number in range(10):
        name = ("wave", "clap")[number % 2]
        _write(folder / name / f"p{number % 3}_{name}{number // 2}.mp4", seed=number)
    return folder


def _names(path: Path) -> set[str]:
    return {record.path.name for record in read_list(path)}


def test_split_is_stratified_and_complete(clips: Path, tmp_path: Path) -> None:
    report = prepare_folder(clips, tmp_path / "out", val_fraction=0.4)
    assert read_labels(tmp_path / "out" / "labels.txt") == ("clap", "wave")
    train, val = (read_list(tmp_path / "out" / name, num_classes=2) for name in ("train.txt", "val.txt"))
    assert Counter(record.labels[0] for record in train) == {0: 3, 1: 3}
    assert Counter(record.labels[0] for record in val) == {0: 2, 1: 2}
    assert {record.path for record in train + val} == set(clips.rglob("*.mp4"))
    assert all(record.num_frames == 8 for record in train + val)
    assert (report.classes, report.split) == (["clap", "wave"], {"clap": [3, 2], "wave": [3, 2]})
    assert report.lists == {"train.txt": 6, "val.txt": 4}
    assert not (report.broken or report.duplicates or report.truncated or report.short or report.warnings)


def test_bad_clips_are_reported_and_skipped(clips: Path, tmp_path: Path) -> None:
    (clips / "wave" / "empty.mp4").touch()
    (clips / "wave" / "text.mp4").write_text("not a video")
    (clips / "wave" / "notes.txt").write_text("ignored")
    _write(clips / "clap" / "one_frame.mp4", frames=1)
    whole = (clips / "wave" / "p0_wave0.mp4").read_bytes()
    (clips / "wave" / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    shutil.copy(clips / "wave" / "p0_wave0.mp4", clips / "wave" / "p9_again.mp4")
    shutil.copy(clips / "clap" / "p0_clap1.mp4", clips / "wave" / "p9_wrong.mp4")
    report = prepare_folder(clips, tmp_path / "out")
    assert set(report.broken) == {"wave/empty.mp4", "wave/text.mp4", "wave/cut.mp4"}
    assert report.duplicates == {"wave/p9_again.mp4": "wave/p0_wave0.mp4", "wave/p9_wrong.mp4": "clap/p0_clap1.mp4"}
    assert report.short == {"clap/one_frame.mp4": 1}
    assert len(report.warnings) == 1 and "two classes" in report.warnings[0]
    listed = _names(tmp_path / "out" / "train.txt") | _names(tmp_path / "out" / "val.txt")
    assert listed == {path.name for path in clips.rglob("p[0-2]_*.mp4")} | {"one_frame.mp4"}
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert PreparationReport(**written) == report
    for text in ("empty.mp4", "p9_again.mp4 is the same as wave/p0_wave0.mp4", "1 clip has fewer than 8 frames"):
        assert text in str(report)


def test_frame_folders_are_clips(clips: Path, tmp_path: Path) -> None:
    frames = clips / "wave" / "extracted"
    frames.mkdir()
    for number in range(1, 4):
        Image.new("RGB", (32, 32), (number * 50, 0, 0)).save(frames / f"img_{number:05d}.jpg")
    report = prepare_folder(clips, tmp_path / "out")
    records = read_list(tmp_path / "out" / "train.txt") + read_list(tmp_path / "out" / "val.txt")
    assert [record.num_frames for record in records if record.path == frames] == [3]
    assert report.short == {"wave/extracted": 3}


def test_folds_validate_each_clip_once(clips: Path, tmp_path: Path) -> None:
    prepare_folder(clips, tmp_path / "out", folds=5, fold=2)
    parts = [_names(tmp_path / "out" / f"val_{number}.txt") for number in range(5)]
    assert [len(part) for part in parts] == [2] * 5
    assert set.union(*parts) == {path.name for path in clips.rglob("*.mp4")}
    for number, part in enumerate(parts):
        assert not part & _names(tmp_path / "out" / f"train_{number}.txt")
    for name in ("train", "val"):
        chosen, fold = (tmp_path / "out" / f"{name}{suffix}.txt" for suffix in ("", "_2"))
        assert chosen.read_bytes() == fold.read_bytes()


@pytest.mark.parametrize("by", ["expression", "table"])
def test_groups_stay_whole(clips: Path, tmp_path: Path, by: str) -> None:
    table = ["path,person"] + [f"{p.relative_to(clips).as_posix()},{p.name[:2]}" for p in clips.rglob("*.mp4")]
    (clips / "people.csv").write_text("\n".join(table))
    groups = r"/(p\d)_" if by == "expression" else "people.csv:person"
    report = prepare_folder(clips, tmp_path / "out", groups=groups, val_fraction=0.3)
    train, val = ({name[:2] for name in _names(tmp_path / "out" / f"{part}.txt")} for part in ("train", "val"))
    assert train and val and not train & val
    assert report.groups == 3


def test_existing_lists_need_force(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_folder(clips, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    prepare_folder(clips, out)  # identical content is fine
    with pytest.raises(DataError, match="differs"):
        prepare_folder(clips, out, val_fraction=0.4)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    prepare_folder(clips, out, val_fraction=0.4, force=True)
    assert (out / "val.txt").read_bytes() != before["val.txt"]


def test_split_does_not_depend_on_workers(clips: Path, tmp_path: Path) -> None:
    for out, arguments in (("a", {"workers": 1}), ("b", {"workers": 3}), ("c", {"seed": 1})):
        prepare_folder(clips, tmp_path / out, **arguments)
    lists = [(tmp_path / out / "val.txt").read_bytes() for out in "abc"]
    assert lists[0] == lists[1] != lists[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"val_fraction": 1.0}, "val_fraction"),
        ({"folds": 1}, "folds"),
        ({"folds": 3, "fold": 3}, "fold 3 of 3"),
        ({"groups": "(q)"}, "does not match"),
        ({"groups": "(p"}, "regular expression"),
        ({"groups": "nowhere.csv:person"}, "nowhere.csv"),
    ],
)
def test_rejects_impossible_arguments(clips: Path, tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare_folder(clips, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_group_table_must_cover_every_clip(clips: Path) -> None:
    paths = sorted(path.relative_to(clips) for path in clips.rglob("*.mp4"))
    (clips / "t.csv").write_text(f"path,person\n{paths[0].as_posix()},a\n")
    with pytest.raises(DataError, match="no column 'persona'"):
        group_clips(clips, paths, "t.csv:persona")
    with pytest.raises(DataError, match=f"no line for {paths[1].as_posix()}"):
        group_clips(clips, paths, "t.csv:person")


def test_rejects_folders_without_classes_or_clips(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        prepare_folder(tmp_path / "missing", tmp_path / "out")
    (tmp_path / "clips").mkdir()
    with pytest.raises(DataError, match="no clips"):
        prepare_folder(tmp_path / "clips", tmp_path / "out")
    _write(tmp_path / "clips" / "only" / "a.mp4")
    with pytest.raises(DataError, match="two or more"):
        prepare_folder(tmp_path / "clips", tmp_path / "out")


def test_split_balances_unequal_groups() -> None:
    rng = np.random.default_rng(0)
    groups = [str(g) for g in rng.integers(0, 40, 600)]
    classes = rng.choice(3, 600, p=[0.6, 0.3, 0.1]).tolist()
    parts = split(classes, groups, [0.25] * 4, seed=0)
    table = np.zeros((4, 3))
    np.add.at(table, (parts, classes), 1)
    assert np.abs(table / table.sum(axis=0) - 0.25).max() < 0.1
    assert all(len({p for p, g in zip(parts, groups, strict=True) if g == name}) == 1 for name in set(groups))


def test_real_clips_group_by_sequence(clips_dir: Path, tmp_path: Path) -> None:
    source = clips_dir / "ut_interaction"
    folder = tmp_path / "few"
    for name in ("kicking", "hugging"):  # 40 of the 120 clips
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(source / name)
    report = prepare_folder(folder, tmp_path / "out", groups=f"{source / 'labels.csv'}:sequence", folds=5)
    assert report.groups == 20
    assert report.split == {"hugging": [16, 4], "kicking": [16, 4]}
    assert not report.broken and not report.truncated


def test_command_line(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, status in ((["--groups", r"/(p\d)_"], 0), (["--folds", "1"], 1)):
        with pytest.raises(SystemExit) as stop:
            main(["prepare", "folder", str(clips), "--output", str(tmp_path / "out"), *arguments])
        assert stop.value.code == status
    output = capsys.readouterr()
    assert "2 classes in 3 groups" in output.out and "written:" in output.out
    assert output.err.startswith("error: ") and output.err.count("\n") == 1
