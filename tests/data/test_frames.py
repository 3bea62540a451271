from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trishift.data.frames import FrameFolder
from trishift.data.sources import open_clip
from trishift.errors import DataError


def save_frames(folder: Path, template: str, numbers: range, mode: str = "RGB") -> Path:
    """Save uniform pictures whose gray level is ten times their number."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.new("L", (12, 8), 10 * number).convert(mode).save(folder / template.format(number))
    return folder


@pytest.mark.parametrize(
    "template",
    ["img_{:05d}.jpg", "{:05d}.jpg", "{:06d}.jpg", "frame{:d}.png", "clip7_take2_{:04d}.png", "a{{b_{:02d}.png"],
)
def test_templates_are_detected(tmp_path: Path, template: str) -> None:
    save_frames(tmp_path, template, range(1, 13))
    with open_clip(tmp_path) as clip:
        assert isinstance(clip, FrameFolder)
        assert clip.num_frames == 12
        assert clip.fps is None
        frames = clip.read([11, 0, 0])
    assert frames.shape == (3, 8, 12, 3)
    assert frames.dtype == np.uint8
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), [120, 10, 10], atol=2)


def test_frame_zero_counts(tmp_path: Path) -> None:
    with FrameFolder(save_frames(tmp_path, "{:06d}.png", range(0, 5))) as clip:
        assert clip.num_frames == 5
        assert clip.read([0]).max() == 0


def test_rgb_frames_win_over_flow_files(tmp_path: Path) -> None:
    for template in ("flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg", "img_{:05d}.jpg"):
        save_frames(tmp_path, template, range(1, 4))
    assert FrameFolder(tmp_path).template == "img_{:05d}.jpg"
    assert FrameFolder(tmp_path, "flow_x_{:05d}.jpg").num_frames == 3


@pytest.mark.parametrize("other", ["flow_x_{:06d}.png", "flow_{:06d}.png", "{:06d}_mask.png", "depth_{:06d}.png"])
def test_flow_and_masks_are_not_frames(tmp_path: Path, other: str) -> None:
    save_frames(tmp_path, "frame_{:06d}.png", range(1, 4))
    save_frames(tmp_path, other, range(1, 9))
    assert FrameFolder(tmp_path).template == "frame_{:06d}.png"
    save_frames(tmp_path / "alone", other, range(1, 4))
    with pytest.raises(DataError, match="only flow or mask pictures"):
        FrameFolder(tmp_path / "alone")
    assert FrameFolder(tmp_path / "alone", other).num_frames == 3


def test_rejects_folders_of_masks_and_of_several_clips(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only flow or mask pictures"):
        FrameFolder(save_frames(tmp_path / "masks", "{:05d}.png", range(1, 4)))
    for camera in ("left", "right"):
        save_frames(tmp_path / "stereo", camera + "_{:02d}.png", range(1, 4))
    with pytest.raises(DataError, match=r"several series of pictures \(3 named left_.* and 3 named right_"):
        FrameFolder(tmp_path / "stereo")


@pytest.mark.parametrize(("first", "count"), [(120, 16), (0, 1), (9, 3), (99_998, 5)])
@pytest.mark.parametrize("template", ["img_{:05d}.png", "take2_{:d}.png"])
def test_numbers_may_start_anywhere(tmp_path: Path, template: str, first: int, count: int) -> None:
    for number in range(first, first + count):
        Image.new("L", (8, 8), number - first).save(tmp_path / template.format(number))
    with FrameFolder(tmp_path) as clip:
        assert clip.read(range(count))[:, 0, 0, 0].tolist() == list(range(count))


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        ([f"img_{5 * i:05d}.png" for i in range(12)], "img_*.png"),
        ([f"img_{i + (i > 7)}.png" for i in range(12)], "*"),
        ([f"{1_600_000_000_000 + 37 * i * i}.png" for i in range(12)], "*.png"),
        ([f"shot 2024-05-01 10.{i // 60:02d}.{i % 60:02d}.png" for i in range(30, 90, 7)], "shot*"),
        ([f"t_{i / 4:.2f}.png" for i in range(12)], "t_*"),
        ([f"f[a]_{i:03d}_{20 * i}.png" for i in range(12)], "f[a]_*"),
    ],
)
def test_pattern_reads_any_numbering_in_order(tmp_path: Path, names: list[str], pattern: str) -> None:
    for level, name in enumerate(names):
        Image.new("L", (8, 8), level).save(tmp_path / name)
    with pytest.raises(DataError, match=r"template '.*\(--template, or data\.template"):
        FrameFolder(tmp_path)
    with open_clip(tmp_path, template=pattern) as clip:
        assert clip.read(range(clip.num_frames))[:, 0, 0, 0].tolist() == list(range(len(names)))


def test_rejects_ambiguous_order(tmp_path: Path) -> None:
    for name in ("t_1.5.png", "t_1.10.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    with pytest.raises(DataError, match=r"order .* is ambiguous"):
        FrameFolder(tmp_path, "t_*")
    with pytest.raises(DataError, match="no picture is named like"):
        FrameFolder(tmp_path, "img_*")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_other_color_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    save_frames(tmp_path, "{:05d}.png", range(1, 2), mode)
    assert FrameFolder(tmp_path).read([0]).shape == (1, 8, 12, 3)


def test_sixteen_bit_gray_keeps_its_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 12), 100 * 257, np.uint16)).save(tmp_path / "00001.png")
    assert set(FrameFolder(tmp_path).read([0]).ravel().tolist()) == {100}


def test_missing_frames_are_named(tmp_path: Path) -> None:
    save_frames(tmp_path, "img_{:05d}.jpg", range(1, 10))
    (tmp_path / "img_00004.jpg").unlink()
    (tmp_path / "img_00006.jpg").unlink()
    with pytest.raises(DataError, match=r"2 frames are missing, first img_00004\.jpg"):
        FrameFolder(tmp_path)


def test_damaged_frame_is_named(tmp_path: Path) -> None:
    save_frames(tmp_path, "img_{:05d}.jpg", range(1, 4))
    (tmp_path / "img_00002.jpg").write_bytes(b"no picture")
    with FrameFolder(tmp_path) as clip, pytest.raises(DataError, match=r"img_00002\.jpg"):
        clip.read([0, 1])


def test_frames_must_have_one_size(tmp_path: Path) -> None:
    save_frames(tmp_path, "{:05d}.jpg", range(1, 3))
    Image.new("RGB", (5, 5)).save(tmp_path / "00002.jpg")
    with FrameFolder(tmp_path) as clip, pytest.raises(DataError, match="differ in size"):
        clip.read([0, 1])


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no numbered pictures"),
        ("img_{:05d}.jpg", "no file is named like"),
        ("img.jpg", "one number in braces"),
        ("{}_{}.jpg", "one number in braces"),
        ("{name}.jpg", "one number in braces"),
    ],
)
def test_rejects_unsuitable_folders_and_templates(tmp_path: Path, template: str | None, message: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError, match=message) as caught:
        FrameFolder(tmp_path, template)
    assert "\n" not in str(caught.value)


def test_rejects_frame_out_of_range(tmp_path: Path) -> None:
    with (
        FrameFolder(save_frames(tmp_path, "{:05d}.jpg", range(1, 3))) as clip,
        pytest.raises(DataError, match="2 frames"),
    ):
        clip.read([2])


def write_png(path: Path, width: int, height: int) -> None:
    """A PNG file whose header declares a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (30_000, 30_000), (2**31 - 1, 1), (0, 0)])
def test_rejects_pictures_of_impossible_size(tmp_path: Path, width: int, height: int) -> None:
    write_png(tmp_path / "img_00001.png", width, height)
    with pytest.raises(DataError, match=r"img_00001\.png: the frame cannot be decoded"):
        FrameFolder(tmp_path).read([0])


def test_rejects_devices_and_programs_as_pictures(tmp_path: Path) -> None:
    (tmp_path / "img_00001.jpg").symlink_to("/dev/zero")
    (tmp_path / "img_00002.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for index, reason in ((0, "a pipe or device"), (1, "cannot identify")):
        with pytest.raises(DataError, match=reason):
            FrameFolder(tmp_path).read([index])
