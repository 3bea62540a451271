"""Extracted frames and re-encoded videos keep every frame in order, and are either complete or absent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from testing.encoded_clips import HEIGHT, NUM_FRAMES, VIDEOS, WIDTH, cut, encode, shown_number

from trishift.data.gestures.encoding import write_clip
from trishift.data.prepare import conversion
from trishift.data.prepare.conversion import Conversion, shrunk_size
from trishift.data.prepare.tree import Tree
from trishift.data.sources import open_clip
from trishift.errors import DataError

FRAMES = Conversion("frames", 24, "img_{:05d}.jpg")
REENCODED = Conversion("videos", 24, "img_{:05d}.jpg")


def convert(how: Conversion, source: Path, output: Path, name: str = "wave/a") -> Path:
    """Convert, compare the returned count with the finished one, and return the target."""
    target = how.target(output, name)
    assert how.finished_frames(target) is None
    assert how.convert(source, target) == how.finished_frames(target)
    return target


@pytest.mark.parametrize("name", ["h264_b_frames.mp4", "h264.ts", "h264_raw.264", "variable_rate.mp4", "one_frame.mp4"])
@pytest.mark.parametrize("how", [FRAMES, REENCODED], ids=["frames", "videos"])
def test_every_frame_keeps_its_number(tmp_path: Path, how: Conversion, name: str) -> None:
    source = VIDEOS[name](tmp_path / name)
    with open_clip(convert(how, source, tmp_path)) as clip:
        pictures = clip.read(range(clip.num_frames))
    expected = 1 if name == "one_frame.mp4" else NUM_FRAMES
    assert [shown_number(picture) for picture in pictures] == list(range(expected))
    assert pictures.shape[1:] == (24, WIDTH * 24 // HEIGHT, 3)


@pytest.mark.parametrize("how", [FRAMES, REENCODED], ids=["frames", "videos"])
def test_rotated_videos_come_out_upright(tmp_path: Path, how: Conversion) -> None:
    source = encode(tmp_path / "phone.mp4", "libx264", num_frames=2, rotation=90)
    with open_clip(source) as clip:
        before = clip.read([1])[0]
    with open_clip(convert(how, source, tmp_path)) as clip:
        after = clip.read([1])[0]
    expected = Image.fromarray(before).resize(after.shape[1::-1], Image.Resampling.BICUBIC)
    assert after.shape == (32, 24, 3)
    assert np.abs(after.astype(int) - np.asarray(expected)).mean() < 12


def test_reencoding_keeps_timestamps(tmp_path: Path) -> None:
    source = VIDEOS["variable_rate.mp4"](tmp_path / "source.mp4")
    target = convert(REENCODED, source, tmp_path)

    def times(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            found = np.array([frame.time for frame in container.decode(video=0)])
        return found - found[0]

    np.testing.assert_allclose(times(target), times(source), atol=1e-3)


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuv420p"])
def test_reencoding_keeps_colors(tmp_path: Path, pix_fmt: str) -> None:
    source = encode(tmp_path / "source.mp4", "libx264", pix_fmt, num_frames=2)
    pictures = []
    for path in (source, convert(Conversion("videos", HEIGHT, ""), source, tmp_path)):
        with open_clip(path) as clip:
            pictures.append(clip.read([0, 1]).astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() < 3


def test_reencoding_sets_key_frame_interval(tmp_path: Path) -> None:
    write_clip(tmp_path / "still.mp4", np.zeros((40, 32, 32, 3), np.uint8))  # no scene cut triggers a key frame
    with av.open(str(convert(REENCODED, tmp_path / "still.mp4", tmp_path))) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert np.flatnonzero(keys).tolist() == [0, 16, 32]


def test_small_videos_keep_their_size() -> None:
    assert shrunk_size(340, 200, 256) == (340, 200)
    assert shrunk_size(1920, 1080, 256) == (455, 256)
    assert shrunk_size(1080, 1920, 256, multiple=2) == (256, 456)
    assert shrunk_size(341, 201, 256, multiple=2) == (340, 200)


@pytest.mark.parametrize("how", [FRAMES, REENCODED], ids=["frames", "videos"])
def test_interrupted_conversion_leaves_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Conversion
) -> None:
    source = encode(tmp_path / "source.mp4", "libx264", num_frames=8)
    target = how.target(tmp_path / "out", "a")
    whole = conversion.stream_frames

    def interrupted(path: Path) -> Iterator[object]:
        for number, frame in enumerate(whole(path)):
            if number == 4:
                raise KeyboardInterrupt
            yield frame

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "stream_frames", interrupted)
        with pytest.raises(KeyboardInterrupt):
            how.convert(source, target)
    assert not list(target.parent.iterdir())
    # Leftovers of a killed process are ignored, and replaced by the next run.
    left = target.with_name(f".unfinished-{target.name}")
    if how is FRAMES:
        left.mkdir()
        (left / "img_00099.jpg").touch()
    else:
        left.touch()
    assert Tree([tmp_path / "out"]).clip(["a"]) is None
    assert how.convert(source, target) == 8
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("how", [FRAMES, REENCODED], ids=["frames", "videos"])
def test_rejects_undecodable_videos(tmp_path: Path, how: Conversion) -> None:
    source = cut(encode(tmp_path / "whole.mp4", "libx264", num_frames=8), tmp_path / "cut.mp4", 0.3)
    target = how.target(tmp_path, "a")
    with pytest.raises(DataError, match=r"cut\.mp4"):
        how.convert(source, target)
    assert not target.exists()


def test_detects_gaps_in_extracted_frames(tmp_path: Path) -> None:
    target = convert(FRAMES, encode(tmp_path / "source.mp4", "libx264", num_frames=5), tmp_path)
    (target / "img_00003.jpg").unlink()
    with pytest.raises(DataError, match=r"img_00003\.jpg"):
        FRAMES.finished_frames(target)
