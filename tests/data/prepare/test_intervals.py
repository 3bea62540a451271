"""Annotated parts of long videos become lists, whose parts are exact and whose videos are on one side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from testing.encoded_clips import encode

from trishift.cli import main
from trishift.data.annotations.videos import VideoFolder
from trishift.data.gestures.encoding import FRAME_RATE, write_clip
from trishift.data.lists import read_labels, read_list
from trishift.data.prepare import IntervalOptions, prepare_intervals
from trishift.errors import DataError

Writer = Callable[..., Path]
FRAMES = 50


@pytest.fixture
def videos(tmp_path: Path, write_noise: Writer) -> Path:
    """Videos 0.mp4 to 3.mp4 of 50 frames, in two folders."""
    for number in range(4):
        write_noise(tmp_path / "videos" / str(number % 2) / f"{number}.mp4", number, frames=FRAMES)
    return tmp_path / "videos"


def annotate(folder: Path, *lines: str) -> Path:
    path = folder / "marks.csv"
    path.write_text("\n".join(["video,start_frame,end_frame,label", *lines]))
    return path


def both_classes(*more: str) -> list[str]:
    return [f"{number}.mp4,{start},{start + 10},{label}" for number in range(4)
            for start, label in ((5, "wave"), (25, "clap"))] + list(more)  # fmt: skip


def listed(output: Path, name: str) -> list[tuple[str, tuple[str, ...], int | None]]:
    names = read_labels(output / "labels.txt")
    records = read_list(output / name, class_names=names)
    return [(record.path.name, tuple(names[label] for label in record.labels), record.num_frames) for record in records]


def test_parts_are_split_by_video(videos: Path, tmp_path: Path) -> None:
    report = prepare_intervals([annotate(tmp_path, *both_classes())], tmp_path / "out", clips=videos, val_fraction=0.5)
    assert report.classes == ["clap", "wave"] and report.split == {"clap": [2, 2], "wave": [2, 2]}
    train, val = (listed(tmp_path / "out", name) for name in ("train.txt", "val.txt"))
    assert {name.partition("#")[0] for name, _, _ in train}.isdisjoint(name.partition("#")[0] for name, _, _ in val)
    assert ("0.mp4#frames=5,15", ("wave",), 10) in train + val


def test_background_lies_between_annotations(videos: Path, tmp_path: Path) -> None:
    background = IntervalOptions(background="nothing", margin=2 / FRAME_RATE, min_length=6 / FRAME_RATE)
    marks = annotate(tmp_path, *both_classes())
    report = prepare_intervals([marks], tmp_path / "out", clips=videos, intervals=background, val_fraction=0)
    gaps = [name for name, (label,), _ in listed(tmp_path / "out", "train.txt") if label == "nothing"]
    assert [name for name in gaps if name.startswith("0.mp4")] == [
        "0.mp4#frames=17,23",
        "0.mp4#frames=37,43",  # cut: the median annotation has 10 frames
        "0.mp4#frames=43,50",
    ]
    median = 10 / FRAME_RATE
    assert any(f"background: 12 parts of {6 / FRAME_RATE:.3g} to {median:.3g} s as" in note for note in report.notes)


def test_still_background_is_no_duplicate(tmp_path: Path) -> None:
    """One camera shows the same picture in all videos while nothing happens."""
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (1, 32, 32, 3), np.uint8)
    for number in range(2):
        actions = rng.integers(0, 255, (20, 32, 32, 3), np.uint8)
        write_clip(tmp_path / f"{number}.mp4", np.concatenate([actions, np.repeat(still, 20, axis=0)]))
    marks = annotate(tmp_path, *(f"{n}.mp4,{s},{s + 10},{c}" for n in (0, 1) for s, c in ((0, "wave"), (10, "clap"))))
    background = IntervalOptions(background="nothing", margin=0, max_length=20 / FRAME_RATE)
    report = prepare_intervals([marks], tmp_path / "out", intervals=background, val_fraction=0.5)
    assert not report.duplicates
    assert report.split["nothing"] == [1, 1]


def test_overlaps_need_multi_label(videos: Path, tmp_path: Path) -> None:
    marks = annotate(tmp_path, *both_classes("0.mp4,6,14,turn", "1.mp4,40,50,turn", "1.mp4,34,42,turn"))
    message = r"marks.csv:10: 'turn' overlaps 'wave' of .*marks.csv:2 by half or more; --multi-label gives"
    with pytest.raises(DataError, match=message):
        prepare_intervals([marks], tmp_path / "out", clips=videos)
    assert not (tmp_path / "out").exists()
    several = IntervalOptions(multi_label=True)
    report = prepare_intervals([marks], tmp_path / "out", clips=videos, intervals=several, val_fraction=0.25)
    lists = [listed(tmp_path / "out", name) for name in ("train.csv", "val.csv")]
    clips = {name: labels for clips in lists for name, labels, _ in clips}
    assert clips["0.mp4#frames=5,15"] == clips["0.mp4#frames=6,14"] == ("turn", "wave")
    assert clips["1.mp4#frames=34,42"] == ("turn",)
    assert any(note.startswith("1 pair of annotations overlaps by less than 50%") for note in report.notes)
    assert any("clips have several labels: train.csv" in note for note in report.notes)


def test_one_part_with_two_labels_is_one_clip(videos: Path, tmp_path: Path) -> None:
    marks = annotate(tmp_path, *(f"{n}.mp4,5,15,{label}" for n in range(4) for label in ("wave;clap", "turn")))
    prepare_intervals(
        [marks], tmp_path / "out", clips=videos, intervals=IntervalOptions(multi_label=True), val_fraction=0
    )
    assert [labels for _, labels, _ in listed(tmp_path / "out", "train.csv")] == [("clap", "turn", "wave")] * 4


def test_unusable_annotations_are_counted_and_named(videos: Path, tmp_path: Path) -> None:
    (videos / "cut.mp4").write_bytes((videos / "0" / "0.mp4").read_bytes()[:300])
    marks = annotate(
        tmp_path,
        *both_classes("0.mp4,60,70,wave", "0.mp4,9,9,wave", "0.mp4,9,7,wave", "1.mp4,40,99,wave"),
        *("cut.mp4,1,9,wave", "gone.mp4,1,9,wave", "gone.mp4,1,9,wave", "gone.mp4,2,9,wave", "2.mp4,5,15,"),
    )
    prepare_intervals([marks], tmp_path / "out", clips=videos, val_fraction=0)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["skipped"]["annotations outside their video"] == [f"{marks}:10 (wave#frames=60,70 of 50 frames)"]
    assert report["skipped"]["annotations of zero length"] == [f"{marks}:11 (wave, 9 to 9)"]
    assert report["skipped"]["annotations that end before they begin"] == [f"{marks}:12 (wave, 9 to 7)"]
    assert report["skipped"]["annotations that repeat another"] == [f"{marks}:16 (as {marks}:15)"]
    assert report["skipped"]["annotations without a label"] == [f"{marks}:18 (no label, 5 to 15)"]
    assert [name.split(":")[0] for name in report["skipped"]["videos that cannot be opened"]] == [f"{videos}/cut.mp4"]
    assert report["missing"] == {"annotations": ["gone.mp4 (2 annotations)"]}
    assert report["warnings"][0] == "1 annotation ends after the video and counts up to its end: 1/1.mp4"


def test_ready_split_must_not_divide_a_video(videos: Path, tmp_path: Path) -> None:
    rows = ["video,start_frame,end_frame,label,subset"]
    rows += [f"{n}.mp4,{s},{s + 9},{label},{'training' if n < 2 else 'validation'}"
             for n in range(4) for s, label in ((0, "wave"), (20, "clap"))]  # fmt: skip
    (tmp_path / "marks.csv").write_text("\n".join(rows))
    report = prepare_intervals([tmp_path / "marks.csv"], tmp_path / "out", clips=videos)
    assert report.lists == {"train.txt": 4, "val.txt": 4}
    (tmp_path / "marks.csv").write_text("\n".join([*rows, "0.mp4,40,45,wave,val"]))
    with pytest.raises(DataError, match=r"marks.csv:10: 0/0.mp4 is in val, but in train in .*marks.csv:2; all parts"):
        prepare_intervals([tmp_path / "marks.csv"], tmp_path / "new", clips=videos)


def test_frame_folders_need_a_rate_for_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        (tmp_path / f"P0{number}").mkdir()
        for frame in range(1, 31):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"P0{number}" / f"img_{frame:05d}.png")
    rows = [f"P0{n},{start},{start + 1},{label}" for n in range(2) for start, label in ((0.2, "cut"), (1.4, "stir"))]
    (tmp_path / "marks.csv").write_text("\n".join(["video,start,end,label", *rows]))
    with pytest.raises(DataError, match="its frame rate is unknown; give --frame-rate"):
        prepare_intervals([tmp_path / "marks.csv"], tmp_path / "out")
    prepare_intervals(
        [tmp_path / "marks.csv"], tmp_path / "out", intervals=IntervalOptions(frame_rate=10), val_fraction=0
    )
    assert listed(tmp_path / "out", "train.txt")[:2] == [
        ("P00#frames=2,12", ("cut",), 10),
        ("P00#frames=14,24", ("stir",), 10),
    ]


def test_videos_without_an_index_are_named(videos: Path, tmp_path: Path) -> None:
    encode(videos / "old.avi", "mpeg4")
    marks = annotate(tmp_path, *both_classes("old.avi,3,9,wave"))
    report = prepare_intervals([marks], tmp_path / "out", clips=videos, val_fraction=0)
    assert any(text.endswith("re-encode before training: old.avi") for text in report.warnings)


def test_errors_name_the_remedy(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds none of 4 annotated videos, first '0.mp4'; .* with --clips"):
        prepare_intervals([annotate(tmp_path, *both_classes())], tmp_path / "out", clips=tmp_path / "out")
    with pytest.raises(DataError, match=r"no annotations that can be used \(annotations of zero length: 1, first .*:2"):
        prepare_intervals([annotate(tmp_path, "0.mp4,3,3,wave")], tmp_path / "out", clips=videos)
    with pytest.raises(DataError, match="max_length 1 is below min_length 2; exchange them"):
        IntervalOptions(min_length=2, max_length=1)
    with pytest.raises(DataError, match="a margin of -1 seconds is impossible"):
        IntervalOptions(margin=-1)


def test_command_groups_videos(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marks, out = annotate(tmp_path, *both_classes()), tmp_path / "out"
    words = ["prepare", "intervals", str(marks), "--clips", str(videos), "--output", str(out), "--val-fraction", "0.5"]
    with pytest.raises(SystemExit) as status:
        main([*words, "--groups", "([01])/", "--background", "nothing", "--margin", "0", "--min-length", "0.1"])
    assert status.value.code == 0
    assert "3 classes in 2 groups" in capsys.readouterr().out
    train = {Path(name).name for name in read_list(out / "train.txt").names}
    assert {name[0] for name in train} in ({"0", "2"}, {"1", "3"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/walk.mp4", "a/walk.mp4"),
        ("/data/upload/3/0a1b2c3d-run.mp4", "run.mkv"),
        ("/data/local-files/?d=clips/b/walk.mp4", "b/walk.mp4"),
        ("https://host/x/b/walk.mp4?token=1#t=2", "b/walk.mp4"),
        ("file:///C:/videos/my%20day.mp4", "my day.mp4"),
        ("C:\\videos\\a\\walk.avi", "a/walk.mp4"),
        ("abc", "v_abc.mp4"),
        ("jump", "jump.mp4"),
        ("frames/P01", "P01"),
        ("../../gone.mp4", None),
        ("", None),
        ("a/../b/walk.mp4", "a/../b/walk.mp4"),
    ],
)
def test_videos_are_found_under_other_names(tmp_path: Path, name: str, expected: str | None) -> None:
    for path in (
        "a/walk.mp4",
        "b/walk.mp4",
        "run.mkv",
        "my day.mp4",
        "v_abc.mp4",
        "P01/1.jpg",
        "run.json",
        "jump.mp4",
        "v_jump.mp4",
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    found = VideoFolder(tmp_path).find(name)
    assert (None if found is None else found.as_posix()) == expected


def test_ambiguous_video_is_refused(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "walk.mp4").touch()
    with pytest.raises(DataError, match=r"walk: may be any of a/walk.mp4, b/walk.mp4 in .*; leave one of them"):
        VideoFolder(tmp_path).find("walk")
