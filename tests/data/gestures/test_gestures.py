"""The built-in gestures: reproducible real clips whose classes differ only in time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trishift.data.gestures import CLASSES, GestureSet, make_gestures, write_preview
from trishift.data.gestures.drawing import render
from trishift.data.gestures.motion import ANGLE, HEIGHT, PAIRS, STILL, X, Y, stillness, trajectory
from trishift.data.gestures.scenes import Hand, draw_motion
from trishift.data.lists import read_labels, read_list
from trishift.data.sources import open_clip
from trishift.data.video import probe
from trishift.errors import DataError

SMALL = {"train": 36, "val": 18, "size": 32}


@pytest.fixture(scope="module")
def gestures(tmp_path_factory: pytest.TempPathFactory) -> GestureSet:
    return make_gestures(tmp_path_factory.mktemp("gestures") / "set", **SMALL)


def _hashes(directory: Path) -> dict[str, str]:
    files = sorted(directory.rglob("*.*"))
    return {str(f.relative_to(directory)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def _frames(path: Path) -> np.ndarray:
    with open_clip(path) as source:
        return source.read(range(source.num_frames))


def test_lists_are_complete_and_balanced(gestures: GestureSet) -> None:
    assert read_labels(gestures.labels) == CLASSES
    for path, clips in ((gestures.train_list, 36), (gestures.val_list, 18)):
        records = read_list(path, num_classes=9)
        assert {record.path for record in records} == set((path.parent / path.stem).iterdir())
        assert np.bincount([record.labels[0] for record in records]).tolist() == [clips // 9] * 9
        for record in records:
            assert len(_frames(record.path)) == record.num_frames
            assert CLASSES[record.labels[0]].lower().replace(" ", "_") in record.path.name


def test_two_hands_give_one_or_two_labels(tmp_path: Path) -> None:
    made = make_gestures(tmp_path, train=72, val=72, size=32, hands=2)
    labels = read_labels(made.labels)
    assert labels == tuple(name for name in CLASSES if name != STILL)
    opposite = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
    for path in (made.train_list, made.val_list):
        records = read_list(path, num_classes=8)
        seen = Counter(record.labels for record in records)
        assert set(seen.values()) == {2} and len(seen) == 36  # every combination of gestures, and each on its own
        frames = {record.path: _frames(record.path) for record in records}
        for first, second in zip(records[::2], records[1::2], strict=True):
            np.testing.assert_array_equal(frames[first.path], frames[second.path][::-1])
            names = [{labels[number] for number in record.labels} for record in (first, second)]
            assert {opposite[name] for name in names[0]} == names[1]


def test_two_hands_move_side_by_side() -> None:
    for seed in range(20):
        hands = draw_motion((Hand(0), Hand(len(PAIRS))), np.random.default_rng(seed))
        assert len(hands[0]) == len(hands[1])
        assert abs(hands[0][:, X].mean() - hands[1][:, X].mean()) > 0.1
        assert hands[0][-1, X] - hands[0][0, X] < -0.2 < hands[1][-1, X] - hands[1][0, X]  # swipes left; rests


def test_clips_are_h264(gestures: GestureSet) -> None:
    info = probe(read_list(gestures.val_list)[0].path)
    assert (info.codec, info.width, info.height, info.fps) == ("h264", 32, 32, 12)


def test_reversed_clips_belong_to_the_opposite_class(gestures: GestureSet) -> None:
    for split in (gestures.train_list, gestures.val_list):
        folder = split.parent / split.stem
        for pair in PAIRS:
            first, second = (sorted(folder.glob(f"{name.lower().replace(' ', '_')}_*")) for name in pair)
            assert len(first) == len(second) > 0
            for forward, backward in zip(first, second, strict=True):
                np.testing.assert_array_equal(_frames(forward), _frames(backward)[::-1])


def test_training_and_validation_are_disjoint(gestures: GestureSet) -> None:
    hashes = list(_hashes(gestures.labels.parent).values())
    assert len(set(hashes)) == len(hashes)


def test_clips_depend_only_on_the_seed(gestures: GestureSet, tmp_path: Path) -> None:
    same = make_gestures(tmp_path / "same", **SMALL, workers=1)
    other = make_gestures(tmp_path / "other", **SMALL, seed=1)
    assert _hashes(same.labels.parent) == _hashes(gestures.labels.parent)
    assert _hashes(other.labels.parent) != _hashes(gestures.labels.parent)


def test_only_unfinished_sets_are_rebuilt(tmp_path: Path) -> None:
    settings = {"train": 18, "val": 18, "size": 32}
    made = make_gestures(tmp_path, **settings)
    clip = next((tmp_path / "train").iterdir())
    clip.write_bytes(b"touched")
    make_gestures(tmp_path, **settings)
    assert clip.read_bytes() == b"touched"
    manifest = tmp_path / "gestures.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    make_gestures(tmp_path, **settings)
    assert clip.read_bytes() != b"touched"
    whole = clip.read_bytes()
    with pytest.raises(DataError, match=r"contains gestures with other settings; .* --force"):
        make_gestures(tmp_path, **{**settings, "train": 36})
    assert clip.read_bytes() == whole and len(read_list(made.train_list)) == 18
    make_gestures(tmp_path, **{**settings, "train": 36}, force=True)
    assert len(read_list(made.train_list)) == len(list((tmp_path / "train").iterdir())) == 36


def test_killed_run_leaves_no_partial_clip(tmp_path: Path) -> None:
    arguments = ["prepare", "gestures", str(tmp_path / "set"), "--size", "256", "--workers", "2"]
    process = subprocess.Popen([sys.executable, "-m", "trishift", *arguments])
    while len(list(tmp_path.glob("set/train/[!.]*.mp4"))) < 8:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    clips = list(tmp_path.glob("set/train/[!.]*.mp4"))
    assert all(probe(clip).announced_frames for clip in clips)  # FFmpeg writes this last
    made = make_gestures(tmp_path / "set", train=18, val=18, size=32)
    assert len(read_list(made.train_list)) == 18
    assert not list(tmp_path.glob("set/**/.unfinished-*"))


def test_foreign_folder_is_refused_and_kept(tmp_path: Path) -> None:
    precious = tmp_path / "train" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("three years of work")
    with pytest.raises(DataError, match="not empty"):
        make_gestures(tmp_path, **SMALL)
    assert precious.read_text() == "three years of work"


@pytest.mark.parametrize("wrong", [{"train": 20}, {"val": 9}, {"size": 33}, {"size": 16}, {"hands": 2, "train": 36}])
def test_rejects_impossible_sizes(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(DataError, match=list(wrong)[-1]):
        make_gestures(tmp_path, **{**SMALL, **wrong})


@pytest.mark.parametrize(
    ("pair", "column", "direction"),
    [
        ("Swiping Left", X, -1),
        ("Swiping Down", Y, 1),
        ("Zooming Out With Full Hand", HEIGHT, -1),
        ("Turning Hand Clockwise", ANGLE, 1),
    ],
)
def test_motions_match_their_names(pair: str, column: int, direction: int) -> None:
    number = [names[0] for names in PAIRS].index(pair)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        moved = np.subtract(*trajectory(number, rng)[[-1, 0]])
        rested = np.subtract(*stillness(rng)[[-1, 0]])
        assert moved[column] * direction > 3 * abs(rested[column])
    assert STILL in CLASSES


def test_positive_angles_turn_clockwise() -> None:
    upright, turned, elsewhere = np.zeros((3, 4))
    upright[HEIGHT] = turned[HEIGHT] = 0.8
    turned[ANGLE] = np.pi / 2
    elsewhere[X] = 10  # outside the picture: background only
    *frames, background = render([np.stack([upright, turned, elsewhere])], 128, np.random.default_rng(0))
    before, after = ((frame != background).any(-1) for frame in frames)
    clockwise, counterclockwise = ((after != np.rot90(before, turns)).mean() for turns in (-1, 1))
    assert 0.1 < before.mean() < 0.7
    assert clockwise < 0.02 < 0.05 < counterclockwise


def test_preview_shows_every_class(gestures: GestureSet, tmp_path: Path) -> None:
    write_preview(gestures, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    rows = [sheet[4 + 100 * row : 100 + 100 * row, 230:] for row in range(9)]
    assert all(row.std() > 5 for row in rows)
    assert all((sheet[4 + 100 * row : 100 + 100 * row, :230] < 100).any() for row in range(9))  # the name
    assert len(sheet) == 9 * 100 + 4
