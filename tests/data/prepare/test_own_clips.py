"""Lists from ready splits, without duplicates across splits, converted, and with stable class numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from testing.encoded_clips import encode
from tests.support.lists import listed

from trishift.cli import main
from trishift.data.lists import read_labels, read_list
from trishift.data.prepare import PreparationReport, prepare_folder
from trishift.data.prepare.conversion import Conversion
from trishift.data.prepare.similarity import FRAMES, similar_clips
from trishift.data.sources import open_clip
from trishift.data.video import VideoFile
from trishift.errors import DataError

Writer = Callable[..., Path]


@pytest.fixture
def ready(tmp_path: Path, write_noise: Writer) -> Path:
    """A ready split: 4 training and 2 test clips of each of two classes."""
    for number in range(8):
        write_noise(tmp_path / "clips" / "train" / ("jump", "run")[number % 2] / f"{number}.mp4", number)
    for number in range(8, 12):
        write_noise(tmp_path / "clips" / "test" / ("jump", "run")[number % 2] / f"{number}.mp4", number)
    return tmp_path / "clips"


@pytest.fixture
def folder(tmp_path: Path, write_noise: Writer) -> Path:
    """Two classes of 3 clips."""
    for number in range(6):
        write_noise(tmp_path / "clips" / "ab"[number % 2] / f"{number}.mp4", number)
    return tmp_path / "clips"


def _paths(path: Path, root: Path) -> set[str]:
    return {name for name, _, _ in listed(path, root)}


@pytest.mark.parametrize("val", ["val", "validation"])
def test_ready_split_is_kept(ready: Path, tmp_path: Path, val: str) -> None:
    (ready / "test").rename(ready / val)
    report = prepare_folder(ready, tmp_path / "out")
    assert report.classes == ["jump", "run"] and report.split == {"jump": [4, 2], "run": [4, 2]}
    assert _paths(tmp_path / "out" / "val.txt", ready) == {
        p.relative_to(ready).as_posix() for p in ready.glob(f"{val}/*/*")
    }
    assert report.notes == [f"ready split: train, {val}"] and not report.warnings


def test_validation_is_taken_from_training(ready: Path, tmp_path: Path) -> None:
    report = prepare_folder(ready, tmp_path / "out", val_fraction=0.25)
    assert report.split == {"jump": [3, 1, 2], "run": [3, 1, 2]}
    assert all(name.startswith("test/") for name in _paths(tmp_path / "out" / "test.txt", ready))
    assert all(name.startswith("train/") for name in _paths(tmp_path / "out" / "val.txt", ready))
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert PreparationReport(**written) == report


def test_folds_need_a_folder_without_split(ready: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ready split"):
        prepare_folder(ready, tmp_path / "out", folds=2)


def test_groups_across_a_ready_split_are_reported(ready: Path, tmp_path: Path) -> None:
    (ready / "test").rename(ready / "val")
    report = prepare_folder(ready, tmp_path / "out", groups=r"(\d)\.mp4")  # 0.mp4 and 10.mp4 share one
    assert any("groups are in training and evaluation" in text for text in report.warnings)


@pytest.mark.parametrize("copy", ["identical", "re-encoded", "frames"])
def test_duplicates_across_splits_are_kept_in_evaluation(ready: Path, tmp_path: Path, copy: str) -> None:
    source = ready / "train" / "run" / "1.mp4"
    if copy == "identical":
        shutil.copy(source, ready / "test" / "run" / "copy.mp4")
    elif copy == "re-encoded":
        Conversion("videos", 24, "").convert(source, ready / "test" / "run" / "copy.mp4")
    else:
        Conversion("frames", 32, "img_{:05d}.jpg").convert(source, ready / "test" / "run" / "copy")
    report = prepare_folder(ready, tmp_path / "out")
    assert list(report.duplicates) == ["train/run/1.mp4"]
    assert "1 clip of train is also in test; skipped in train" in report.warnings
    assert "train/run/1.mp4" not in _paths(tmp_path / "out" / "train.txt", ready) | _paths(
        tmp_path / "out" / "val.txt", ready
    )
    assert any("--keep-similar" in note for note in report.notes) == (copy != "identical")
    kept = prepare_folder(ready, tmp_path / "all", keep_similar=True)
    assert bool(kept.duplicates) == (copy == "identical")


def test_reencoded_real_clips_are_duplicates_and_others_are_not(clips_dir: Path, tmp_path: Path) -> None:
    sources = sorted((clips_dir / "basketball5").rglob("*.mp4"))[::12]
    for number, source in enumerate(sources):
        folder = tmp_path / "clips" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / source.name)
        if number % 3 == 0:
            Conversion("videos", 96, "").convert(source, folder / f"small_{source.name}")
    report = prepare_folder(tmp_path / "clips", tmp_path / "out")
    copies = {path.relative_to(tmp_path / "clips").as_posix() for path in tmp_path.rglob("small_*")}
    assert len(sources) > 20 and set(report.duplicates) == copies


def test_similar_clips_keep_the_first_of_many() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(40, 200, (300, 4, 16, 16)).astype(np.uint8)
    signatures = {Path(str(number)): signature for number, signature in enumerate(base)}
    noisy = (base[::10] + rng.integers(-3, 4, base[::10].shape)).astype(np.uint8)
    signatures |= {Path(f"copy{number}"): signature for number, signature in zip(range(0, 300, 10), noisy, strict=True)}
    signatures |= {Path(f"black{number}"): np.zeros((4, 16, 16), np.uint8) for number in range(3)}
    assert similar_clips(signatures, Path()) == {
        Path(f"copy{number}"): Path(str(number)) for number in range(0, 300, 10)
    }


def test_no_validation_list(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "folder", str(folder), "--output", str(tmp_path / "out"), "--val", "0"])
    assert stop.value.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train.txt", "labels.txt", "report.json"}
    assert len(read_list(tmp_path / "out" / "train.txt")) == 6
    assert "no validation list" in capsys.readouterr().out


def test_lists_of_an_earlier_run_are_named(folder: Path, tmp_path: Path) -> None:
    prepare_folder(folder, tmp_path / "out")
    report = prepare_folder(folder, tmp_path / "out", val_fraction=0, force=True)
    assert "from an earlier run, not replaced: val.txt" in report.warnings


def test_shifting_class_numbers_are_refused_or_reported(folder: Path, tmp_path: Path, write_noise: Writer) -> None:
    out = tmp_path / "out"
    prepare_folder(folder, out)
    before = (out / "labels.txt").read_bytes()
    write_noise(folder / "aa" / "new.mp4", 20)
    write_noise(folder / "aa" / "newer.mp4", 21)
    with pytest.raises(DataError, match=r"labels.txt: class numbers shift: 1 of 2 classes .*b: 1 becomes 2.*--force"):
        prepare_folder(folder, out)
    assert (out / "labels.txt").read_bytes() == before
    report = prepare_folder(folder, out, force=True)
    assert any("class numbers shift" in text for text in report.warnings)
    assert read_labels(out / "labels.txt") == ("a", "aa", "b")


@pytest.mark.parametrize(("option", "form"), [("--reencode", "videos-24/a/0.mp4"), ("--frames", "frames-24/a/0")])
def test_clips_are_converted(folder: Path, tmp_path: Path, option: str, form: str, write_noise: Writer) -> None:
    shutil.copy(write_noise(tmp_path / "other.mp4", 30), folder / "a" / "0.mov")
    arguments = ["prepare", "folder", str(folder), "--output", str(tmp_path / "out"), option, "--short-side", "24"]
    for _ in range(2):  # the second run finds them converted
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
    records = [r for name in ("train.txt", "val.txt") for r in read_list(tmp_path / "out" / name)]
    assert len({record.path for record in records}) == 7
    for record in records:
        assert record.path.is_relative_to(tmp_path / "out" / Path(form).parts[0])
        with open_clip(record.path) as clip:
            assert clip.num_frames == record.num_frames == 8
            assert clip.read([0]).shape[1:3] == (24, 24)


def test_replaced_clips_are_converted_again(folder: Path, tmp_path: Path, write_noise: Writer) -> None:
    for options in ({}, {"force": True}):
        prepare_folder(folder, tmp_path / "out", convert="videos", short_side=24, **options)
        write_noise(folder / "a" / "0.mp4", 40, frames=5)
    records = [r for name in ("train.txt", "val.txt") for r in read_list(tmp_path / "out" / name)]
    assert [r.num_frames for r in records if r.path.parts[-2:] == ("a", "0.mp4")] == [5]


@pytest.mark.parametrize("output", [".", "lists"])
def test_output_inside_the_clips_is_not_read_again(folder: Path, output: str) -> None:
    first = prepare_folder(folder, folder / output, convert="videos", short_side=24)
    assert prepare_folder(folder, folder / output, convert="videos", short_side=24).lists == first.lists


def test_conversion_of_large_clips_is_suggested(tmp_path: Path, write_noise: Writer) -> None:
    for number in range(4):
        write_noise(tmp_path / "clips" / "ab"[number % 2] / f"{number}.mp4", number, side=512)
    report = prepare_folder(tmp_path / "clips", tmp_path / "out", val_fraction=0.5)
    assert len(report.notes) == 1 and "512 pixels" in report.notes[0] and "--reencode" in report.notes[0]
    assert not prepare_folder(tmp_path / "clips", tmp_path / "small", val_fraction=0.5, convert="videos").notes


def test_clips_keep_their_place_in_the_split_of_a_seed(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere" / "again"
    shutil.copytree(folder, copied)
    for root, out in ((folder, tmp_path / "one"), (copied, tmp_path / "two")):
        prepare_folder(root, out, val_fraction=0.4, seed=3)
    assert _paths(tmp_path / "one" / "val.txt", folder) == _paths(tmp_path / "two" / "val.txt", copied)


def test_undecodable_clips_are_not_converted(folder: Path, tmp_path: Path) -> None:
    encode(folder / "a" / "whole.mp4", "libx264", num_frames=8)
    (folder / "a" / "text.mp4").write_text("text")
    with (folder / "a" / "whole.mp4").open("r+b") as file:
        file.truncate((folder / "a" / "whole.mp4").stat().st_size // 2)
    report = prepare_folder(folder, tmp_path / "out", convert="frames", short_side=24)
    assert sorted(report.broken) == ["a/text.mp4", "a/whole.mp4"] and sum(report.lists.values()) == 6


def test_converted_clips_are_decoded_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_noise: Writer
) -> None:
    write_noise(folder / "a" / "long.mp4", 50, frames=40)
    read: list[int] = []
    original = VideoFile.read
    monkeypatch.setattr(VideoFile, "read", lambda self, wanted: read.append(len(wanted)) or original(self, wanted))
    report = prepare_folder(folder, tmp_path / "out", convert="videos", short_side=24)
    assert set(read) == {FRAMES} and sum(report.lists.values()) == 7  # only the frames that find duplicates
    read.clear()
    prepare_folder(folder, tmp_path / "lists")
    assert sum(read) == 6 * 8 + 40


def test_frames_with_gaps_are_read_by_a_template(tmp_path: Path) -> None:
    for number, clip in enumerate(("walk/a", "walk/b", "run/a", "run/b")):
        (tmp_path / "clips" / clip).mkdir(parents=True)
        for frame in range(3):
            picture = np.random.default_rng([number, frame]).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / "clips" / clip / f"{1650000000 + 40 * frame}.png")
    with pytest.raises(DataError, match=r"frames are missing.*template '\*\.png' \(--template"):
        prepare_folder(tmp_path / "clips", tmp_path / "lists")
    report = prepare_folder(tmp_path / "clips", tmp_path / "lists", template="*.png", val_fraction=0.5)
    assert report.lists == {"train.txt": 2, "val.txt": 2}
    assert any("data.template='*.png'" in note for note in report.notes)


def test_a_list_without_clips_is_named_with_the_size_of_the_set(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"prepare: val\.txt would be empty: \d+ clips in 1 group cannot fill it"):
        prepare_folder(folder, tmp_path / "lists", groups="(?=())")
