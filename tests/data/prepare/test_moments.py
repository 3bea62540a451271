"""Moments in Time: one or several labels per clip, and truncated videos."""

from __future__ import annotations

import shutil
from pathlib import Path

from testing.downloads import write_zip
from testing.encoded_clips import cut, encode
from tests.support.lists import listed, listed_anywhere

from trishift.data import prepare


def test_moments(root: Path, video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    write_zip(
        root / "Moments_in_Time_Raw.zip",
        {
            "moments_categories.txt": b"clapping,0\nadult+female+singing,1\n",
            "trainingSet.csv": b"clapping/a.mp4,clapping,4,0\nadult+female+singing/a.mp4,adult+female+singing,3,1\n",
            "validationSet.csv": b"clapping/b.mp4,clapping,2,0\n",
            "training/clapping/a.mp4": data,
            "training/adult+female+singing/a.mp4": data,
            "validation/clapping/b.mp4": data,
        },
    )
    prepare.prepare_moments(root, tmp_path / "out")
    assert listed(tmp_path / "out" / "train.txt") == [
        ("training/clapping/a.mp4", None, (0,)), ("training/adult+female+singing/a.mp4", None, (1,))
    ]  # fmt: skip
    assert listed(tmp_path / "out" / "val.txt") == [("validation/clapping/b.mp4", None, (0,))]


def test_multi_moments_is_multi_label(root: Path, video: Path, tmp_path: Path) -> None:
    (root / "moments_categories.txt").write_text("clapping,0\nsinging,1\ndancing,2\n")
    (root / "trainingSet.csv").write_text("clapping/a.mp4,0,2\nsinging/yt-b_12.mp4,1\n")
    (root / "validationSet.csv").write_text("singing/c.mp4,2,1,0\n")
    (root / "videos").mkdir()
    for name in ("a", "yt-b_12", "c"):
        shutil.copy(video, root / "videos" / f"{name}.mp4")
    prepare.prepare_moments(root, tmp_path / "out")
    labels = {Path(name).name: numbers for name, _, numbers in listed_anywhere(tmp_path / "out" / "train.csv")}
    assert labels == {"a.mp4": (0, 2), "yt-b_12.mp4": (1,)}
    assert [numbers for _, _, numbers in listed_anywhere(tmp_path / "out" / "val.csv")] == [(2, 1, 0)]


def test_truncated_videos_are_kept_and_reported(root: Path, video: Path, tmp_path: Path) -> None:
    long = encode(tmp_path / "long.mp4", "libx264", num_frames=40, container_options={"movflags": "+faststart"})
    (root / "moments_categories.txt").write_text("a,0\n")
    (root / "trainingSet.csv").write_text("a/cut.mp4,a\n")
    (root / "validationSet.csv").write_text("a/whole.mp4,a\n")
    (root / "a").mkdir()
    cut(long, root / "a" / "cut.mp4", 0.6)
    shutil.copy(long, root / "a" / "whole.mp4")
    for options in (prepare.Options(check="all"), prepare.Options(convert="videos", short_side=32, force=True)):
        report = prepare.prepare_moments(root, tmp_path / "out", options)
        assert list(report.truncated) == ["a/cut"] and report.truncated["a/cut"].endswith("of 40 frames")
        assert [name.stem for name, _, _ in listed_anywhere(tmp_path / "out" / "train.txt")] == ["cut"]
