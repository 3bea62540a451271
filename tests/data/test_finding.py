"""Clips are found by one definition, and everything else is counted and named."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from testing.encoded_clips import encode, encode_audio

from trishift.commands.shared.inputs import add_videos, videos_of
from trishift.data.finding import find_clips
from trishift.data.parts import split_part
from trishift.data.sources import open_clip, open_flow
from trishift.errors import DataError
from trishift.evaluation.features import FeatureSettings


def save_pictures(folder: Path, *templates: str, first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for template in templates:
        for number in range(first, first + 3):
            Image.new("RGB", (8, 8)).save(folder / template.format(number))
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("video") / "clip.mp4", "libx264", num_frames=3)


def test_finds_every_kind_of_clip(tmp_path: Path, video: Path) -> None:
    for name in ("a.mp4", "b.MOV", "deep/er/c.bin", "deep/no suffix"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(video.read_bytes())
    encode(tmp_path / "deep/d.nut", "mpeg4", num_frames=3)
    save_pictures(tmp_path / "set/e", "img_{:05d}.jpg", first=120)
    save_pictures(tmp_path / "set/f/u", "{:05d}.jpg")
    save_pictures(tmp_path / "set/f/v", "{:05d}.jpg")
    save_pictures(tmp_path / "set/g", "flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = find_clips(tmp_path)
    names = ["a.mp4", "b.MOV", "deep/d.nut", "deep/er/c.bin", "deep/no suffix", "set/e", "set/f", "set/g"]
    assert [path.relative_to(tmp_path).as_posix() for path in found.clips] == names
    assert found.warnings() == []


def test_skipped_files_are_counted_and_named(tmp_path: Path, video: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(video.read_bytes())
    save_pictures(tmp_path, "thumbnail_{}.png")
    save_pictures(tmp_path / "masks", "{:05d}.png")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "noise.bin").write_bytes(os.urandom(100))
    (tmp_path / ".hidden.mp4").write_bytes(b"")
    encode_audio(tmp_path / "sound.wav")
    os.mkfifo(tmp_path / "pipe.mp4")
    found = find_clips(tmp_path)
    assert found.clips == [tmp_path / "a.mp4"]
    special, files, pictures, masks = found.warnings()
    assert special == f"skipped pipes, sockets and devices (1): {tmp_path / 'pipe.mp4'}"
    assert files.startswith("skipped files that are not clips (3): ") and "noise.bin" in files
    assert pictures.startswith("skipped single pictures ") and "thumbnail_1.png" in pictures
    assert masks == f"skipped folders of masks (1): {tmp_path / 'masks'}"


def test_a_clip_names_itself(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "clip", "{:06d}.jpg")
    for path in (folder, Path(f"{folder}#frames=0,2"), tmp_path / "gone.mp4"):
        assert find_clips(path).clips == [path]


def test_objects_are_clips_and_other_urls_are_not() -> None:
    for url in ("https://host/clip.mp4", "s3://bucket/clip.mp4"):
        assert find_clips(Path(url)).clips == [Path(url)]
    with pytest.raises(DataError, match=r"^rtsp://host/live: a URL; download the video first"):
        find_clips(Path("rtsp://host/live"))


def test_rejects_folders_without_clips(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is empty"):
        find_clips(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.jpg")
    with pytest.raises(DataError, match=r"no clips in this folder \(skipped single pictures"):
        find_clips(tmp_path)


def test_special_files_and_pictures_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.jpg")
    for path, message in ((tmp_path / "pipe.mp4", "pipe or device"), (tmp_path / "cat.jpg", "single picture")):
        with pytest.raises(DataError, match=message):
            open_clip(path)
    with pytest.raises(DataError, match="pipe or device"):
        open_clip("/dev/zero")


def test_commands_take_folders_of_clips(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parser = argparse.ArgumentParser()
    add_videos(parser)
    for clip in ("a", "b"):
        save_pictures(tmp_path / clip, "img_{:05d}.jpg")
    (tmp_path / "notes.txt").write_text("notes")
    options = parser.parse_args([str(tmp_path), "--template", "img_*.jpg"])
    assert [record.path for record in videos_of(options)] == [tmp_path / "a", tmp_path / "b"]
    assert options.template == "img_*.jpg"
    assert "skipped files that are not clips (1)" in caplog.text


def test_template_belongs_to_the_settings_of_features() -> None:
    plain = FeatureSettings(weights="w")
    assert "template" not in json.loads(plain.description())
    assert json.loads(replace(plain, template="*").description())["template"] == "*"


@pytest.mark.parametrize("name", ["val.txt", "clips.CSV", "table.tsv"])
def test_lists_point_to_their_option(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a.mp4 9 0\n")
    with pytest.raises(DataError, match=r"a list or table, not a video; name it with --filelist"):
        find_clips(tmp_path / name)


@pytest.mark.parametrize("name", ["x" * 5000 + ".mp4", "x" * 300 + ".mp4#t=1,2", "x" * 300])
def test_names_too_long_for_a_file_are_missing_files(name: str) -> None:
    split_part(name)
    assert find_clips(name).clips == [Path(name)]
    for read in (open_clip, open_flow):
        with pytest.raises(DataError, match="cannot be read"):
            read(name)
