"""Explanations as pictures, films, pages and numbers, of ordinary and of odd clips."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tests.support.command_line import command, error_line
from tests.support.installed import MISSING

from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.model.initialization import initial_tensors
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec

pytestmark = pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
LABELS = ("<b>wave</b>", "\x1b[31mclap", "点头")


def weights(folder: Path, segments: int = 3, classes: int = 3, **spec: object) -> Path:
    model = ModelSpec("resnet10", classes, segments, width=4, **spec)
    save(
        folder / "w.safetensors",
        Checkpoint(initial_tensors(model, 1), model, InputSpec(resize=32, crop=32), LABELS[:classes]),
    )
    return folder / "w.safetensors"


def frame_folder(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (41, 51, 3), np.uint8)).save(folder / f"img_{number + 1:05d}.png")
    return folder


def test_every_format(gestures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "a<i>b.mp4"
    clip.symlink_to(next((gestures / "val").glob("*.mp4")))
    head = HeadSpec("multiscale_relation", 8, 8)
    outputs = [tmp_path / f"out.{suffix}" for suffix in ("png", "mp4", "html", "json")]
    path = weights(tmp_path, head=head)
    assert command("explain", clip, "--checkpoint", path, "--label", "<b>wave</b>", "--output", *outputs) == 0
    printed = capsys.readouterr().out
    assert "<b>wave</b>" in printed and "relations of 2 segments" in printed and printed.count("frame ") == 3
    with Image.open(outputs[0]) as picture:
        assert picture.width > 600 and picture.height > picture.width
    with av.open(str(clip)) as source, av.open(str(outputs[1])) as film:
        assert sum(1 for _ in film.decode(video=0)) == sum(1 for _ in source.decode(video=0))
        stream = film.streams.video[0]
        assert stream.width % 2 == stream.height % 2 == 0 and stream.height > stream.width
    page = outputs[2].read_text(encoding="utf-8")
    assert "&lt;b&gt;wave" in page and "<b>wave" not in page and "a&lt;i&gt;b" in page and "\x1b" not in page
    assert page.count("data:image/jpeg") == 3 and page.count("<svg") == 2
    numbers = json.loads(outputs[3].read_text(encoding="utf-8"))
    assert numbers["class"] == 0 and len(numbers["maps"]) == len(numbers["left_out"]) == 3
    assert len(numbers["relations"]) == 2


@pytest.mark.parametrize(("segments", "frames", "classes"), [(1, 3, 3), (8, 2, 3), (3, 5, 1)])
def test_odd_clips(segments: int, frames: int, classes: int, tmp_path: Path) -> None:
    """A single segment, a clip shorter than the segments, and a single class; pictures with odd sides."""
    clip = frame_folder(tmp_path / "clip", frames)
    outputs = [tmp_path / f"out.{suffix}" for suffix in ("png", "mp4", "html")]
    path = weights(tmp_path, segments, classes)
    assert command("explain", clip, "--checkpoint", path, "--output", *outputs) == 0
    assert all(output.stat().st_size > 1000 for output in outputs)


def test_refuses_bad_arguments_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, path = frame_folder(tmp_path / "clip", 2), weights(tmp_path)
    assert command("explain", clip, "--checkpoint", path, "--output", tmp_path / "x.gif") == 1
    assert "unknown format '.gif'" in error_line(capsys)
    assert command("explain", clip, "--checkpoint", path, "--label", "wawe") == 1
    assert "no such class" in error_line(capsys)


def test_scores_that_are_not_numbers_are_named(
    gestures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ModelSpec("resnet10", 3, 2, width=4)
    tensors = {name: np.full_like(array, np.nan) for name, array in initial_tensors(model, 1).items()}
    save(tmp_path / "nan.safetensors", Checkpoint(tensors, model, InputSpec(resize=32, crop=32)))
    clip, output = next((gestures / "val").glob("*.mp4")), tmp_path / "page.html"
    assert command("explain", clip, "--checkpoint", tmp_path / "nan.safetensors", "--output", output) == 1
    assert error_line(capsys).endswith("so there is nothing to explain; check the weights") and not output.exists()
