"""Finding clips: ready splits, extracted frames, links, odd names, and everything that is skipped."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.support.lists import listed

from trishift.cli import main
from trishift.data.lists import read_labels, read_list
from trishift.data.prepare import prepare_folder
from trishift.data.prepare.discovery import find_clips
from trishift.errors import DataError

Writer = Callable[..., Path]


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _found(root: Path) -> set[tuple[str, str, str | None]]:
    return {(clip.path.as_posix(), clip.labels[0], clip.split) for clip in find_clips(root).clips}


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Training", "Validation", "Testing"),
        ("train", "valid", None),
        ("train", None, "test"),
    ],
)
@pytest.mark.parametrize("classes_outside", [False, True])
def test_finds_ready_splits(tmp_path: Path, train: str, val: str, test: str, classes_outside: bool) -> None:
    expected = set()
    for folder, split in ((train, "train"), (val, "val"), (test, "test")):
        for label in ("jump", "run") if folder else ():
            for clip in ("a.mp4", "b/img_00001.jpg"):
                name = f"{label}/{folder}/{clip}" if classes_outside else f"{folder}/{label}/{clip}"
                _touch(tmp_path, name)
                expected.add((name.removesuffix("/img_00001.jpg"), label, split))
    assert _found(tmp_path) == expected


def test_class_named_like_a_split_stays_a_class(tmp_path: Path) -> None:
    _touch(tmp_path, "train/a.mp4", "car/a.mp4", "test/b/img_00001.jpg", "plane/c.mp4")
    assert {label for _, label, _ in _found(tmp_path)} == {"train", "car", "test", "plane"}
    assert {split for _, _, split in _found(tmp_path)} == {None}


def test_unlabeled_test_clips_are_skipped(tmp_path: Path) -> None:
    _touch(tmp_path, "train/run/a.mp4", "train/jump/b.mp4", "val/run/c.mp4", "test/d.mp4")
    found = find_clips(tmp_path)
    assert {clip.split for clip in found.clips} == {"train", "val"}
    assert found.skipped == {"clips outside class folders": ["test/d.mp4"]}


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    _touch(tmp_path, "train/run/a.mp4", "train/jump/b.mp4", "val/run/c.mp4", "val/jump/notes.txt")
    (tmp_path / "train" / "hop").mkdir()
    assert find_clips(tmp_path).skipped["class folders without clips"] == ["train/hop", "val/jump"]


def test_folders_beside_a_ready_split_are_named(tmp_path: Path) -> None:
    _touch(tmp_path, "train/run/a.mp4", "val/run/b.mp4", "raw/run/c.mp4")
    found = find_clips(tmp_path)
    assert len(found.clips) == 2
    assert found.skipped == {"clips beside train and val": ["raw/run/c.mp4"]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/a.mp4", "val/b.mp4"), "look like splits but hold no class folders"),
        (("val/run/a.mp4", "val/jump/b.mp4"), "no train folder"),
        (("train/a.mp4", "val/jump/b.mp4"), "train, val look like splits but hold no class folders"),
        (("run/img_00001.jpg", "jump/a.mp4"), r"run: holds pictures directly; .* run/CLIP/img_00001.jpg"),
        (("train/run/1.png", "train/jump/a.mp4", "val/run/b.mp4"), "train/run: holds pictures directly"),
        (("a.mp4", "b.mp4"), "no clips in class folders"),
    ],
)
def test_explains_layouts_that_cannot_be_used(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    _touch(tmp_path, *names)
    with pytest.raises(DataError, match=message) as caught:
        find_clips(tmp_path)
    assert "\n" not in str(caught.value)


def test_skipped_files_are_counted_and_named(tmp_path: Path) -> None:
    _touch(tmp_path, "loose.mp4", "cover.jpg", "labels.csv", "run/a.mp4", "run/a/img_1.jpg", "run/thumb.png")
    _touch(tmp_path, "run/notes.txt", "run/line\nbreak.mp4", "jump/b.mp4", "jump/b_frames/img_1.jpg")
    found = find_clips(tmp_path)
    assert _found(tmp_path) == {
        ("run/a.mp4", "run", None),
        ("jump/b.mp4", "jump", None),
        ("jump/b_frames", "jump", None),
    }
    assert found.skipped == {
        "clips outside class folders": ["loose.mp4", "cover.jpg"],
        "files that are not clips": ["labels.csv", "run/notes.txt"],
        "extracted frames of a listed video": ["run/a"],
        "pictures beside videos": ["run/thumb.png"],
        "clips whose names do not fit into a list": ["run/line\nbreak.mp4"],
    }


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    _touch(tmp_path, "run/a.mp4", "jump/b.mp4")
    os.mkfifo(tmp_path / "run" / "camera.mp4")
    found = find_clips(tmp_path)
    assert len(found.clips) == 2 and found.skipped == {"pipes, sockets and devices": ["run/camera.mp4"]}


def test_unreadable_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "run/a.mp4", "jump/b.mp4")
    scandir = os.scandir

    def refused(path: str | Path) -> object:
        if Path(path).name == "run":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match=r"run: the folder cannot be read \(Permission denied\)"):
        find_clips(tmp_path)


def test_loose_clips_are_reported(tmp_path: Path, write_noise: Writer) -> None:
    for number in range(4):
        write_noise(tmp_path / "clips" / "ab"[number % 2] / f"{number}.mp4", number)
    write_noise(tmp_path / "clips" / "loose.mp4", 9)
    report = prepare_folder(tmp_path / "clips", tmp_path / "out", val_fraction=0.5)
    assert "skipped clips outside class folders: 1\n  loose.mp4" in str(report)


@pytest.mark.parametrize("target", [".", "..", "b", "a/sub", "/"])
def test_links_back_into_the_folder_are_not_followed(tmp_path: Path, target: str) -> None:
    root = tmp_path / "clips"
    _touch(root, "a/1.mp4", "a/sub/2.mp4", "b/3.mp4")
    (root / "a" / "loop").symlink_to(target if target == "/" else (root / target).resolve())
    found = find_clips(root)
    assert {clip.path.as_posix() for clip in found.clips} == {"a/1.mp4", "a/sub/2.mp4", "b/3.mp4"}
    assert found.skipped == {"links to folders that are searched anyway": ["a/loop"]}


def test_links_to_other_folders_are_followed_once(tmp_path: Path) -> None:
    _touch(tmp_path / "elsewhere", "1.mp4", "2.mp4")
    _touch(tmp_path / "clips", "b/3.mp4")
    (tmp_path / "elsewhere" / "self").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "clips" / "a").symlink_to(tmp_path / "elsewhere")
    found = find_clips(tmp_path / "clips")
    assert {clip.path.as_posix() for clip in found.clips} == {"a/1.mp4", "a/2.mp4", "b/3.mp4"}


@pytest.mark.parametrize(
    "name", [b"caf\xe9", b"line\nbreak", b" wave", b"wave ", b"bell\x07", "new\u2028line".encode()]
)
def test_bad_class_names_are_refused_before_decoding(
    tmp_path: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    _touch(tmp_path / "clips", "run/a.mp4")  # decoding these would report empty files
    _touch(tmp_path / "clips", os.fsdecode(name + b"/a.mp4"))
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "folder", str(tmp_path / "clips"), "--output", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert stop.value.code == 1 and error.count("\n") == 1
    assert "the name of class" in error and "rename the class" in error and ".replacing" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "classes", [("01 wave", "02 clap"), ("#1 push", "#2 pull"), ("2", "10"), ("a,b", 'say "hi"'), ("label", "wave")]
)
@pytest.mark.parametrize("inside", [False, True])
def test_unusual_class_names_survive(
    tmp_path: Path, write_noise: Writer, classes: tuple[str, str], inside: bool
) -> None:
    for number in range(4):
        write_noise(tmp_path / classes[number % 2] / f"clip {number}.mp4", number)
    out = tmp_path if inside else tmp_path / "out"
    report = prepare_folder(tmp_path, out, val_fraction=0.5)
    assert read_labels(out / "labels.txt") == tuple(report.classes) == classes
    for name in report.lists:
        for record in read_list(out / name, out):
            assert record.num_frames == 8 and record.path.parent == tmp_path / classes[record.labels[0]]


def test_paths_that_need_csv_lists(tmp_path: Path, write_noise: Writer) -> None:
    for number in range(4):
        write_noise(tmp_path / "clips" / "ab"[number % 2] / f"{number}.mp4", number)
    frames = tmp_path / "clips" / "a" / "take 7"  # `take 7 8 0` would be read as three numbers
    frames.mkdir()
    for number in range(1, 9):
        Image.effect_noise((32, 32), 90).save(frames / f"img_{number:05d}.jpg")
    report = prepare_folder(tmp_path / "clips", tmp_path / "out", val_fraction=0.4)
    assert list(report.lists) == ["train.csv", "val.csv"]
    assert any("CSV" in note for note in report.notes)
    rows = [row for name in report.lists for row in listed(tmp_path / "out" / name, tmp_path / "clips")]
    assert ("a/take 7", 8, (0,)) in rows and len(rows) == 5


def test_non_utf8_file_names_are_listed_and_printed(
    tmp_path: Path, write_noise: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        write_noise(tmp_path / "ab"[number % 2] / f"{number}.mp4", number)
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"/caf\xe9.mp4"))
    write_noise(odd, 5, frames=2)
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "folder", str(tmp_path), "--output", str(tmp_path / "out"), "--val", "0.5"])
    assert stop.value.code == 0
    assert "a/caf\\xe9.mp4: 2" in capsys.readouterr().out
    assert any(path.endswith(odd.name) for path, _, _ in listed(tmp_path / "out" / "train.txt", tmp_path)) or any(
        path.endswith(odd.name) for path, _, _ in listed(tmp_path / "out" / "val.txt", tmp_path)
    )


def test_wrapped_class_folders_are_explained(tmp_path: Path, write_noise: Writer) -> None:
    for number in range(2):
        write_noise(tmp_path / "dataset" / "ab"[number] / "1.mp4", number)
    with pytest.raises(DataError, match="if the folders in dataset are the classes, give that folder instead"):
        prepare_folder(tmp_path, tmp_path / "out")


def test_output_among_the_clips_is_said(tmp_path: Path) -> None:
    for name in ("a/1.mp4", "b/2.mp4", "b/3.mp4", "c/frames-256/4/img_00001.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_clips(tmp_path, tmp_path / "b")
    assert found.skipped["clips inside the output folder"] == ["b/2.mp4", "b/3.mp4"]
