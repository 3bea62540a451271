"""`trishift check`: ways agree, and planted disagreements are named by the stage at which numbers part."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.command_line import command, error_line
from tests.support.installed import MISSING

import trishift
from trishift.backends import open_session
from trishift.checking import ways
from trishift.checking.agreement import Agreement, Way
from trishift.checking.trace import Gap, gap
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.data.stages import Pixels
from trishift.errors import CheckpointError, DataError, RecipeError
from trishift.export.planning import ExportOptions
from trishift.export.writing import export_checkpoint
from trishift.model.initialization import initial_tensors
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

pytestmark = pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
SPEC = ModelSpec("resnet10", 3, 4, width=8, shift=ShiftSpec(div=4))
SWAPPED = replace(SPEC, shift=ShiftSpec(div=4, order="past_first"))
PIXELS = InputSpec(resize=40, crop=32)
TENSORS = initial_tensors(SPEC, 0)
NUMBERS = [1, 4, 7, 10]  # of 12 frames, the middle of each quarter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, and a frame folder of smooth noise that moves."""
    folder = tmp_path_factory.mktemp("check")
    save(folder / "w.safetensors", Checkpoint(TENSORS, SPEC, PIXELS, ("a", "b", "c")))
    noise = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    scene = np.asarray(Image.fromarray(noise).resize((150, 90), Image.Resampling.BICUBIC))
    (folder / "clip").mkdir()
    for number in range(12):
        Image.fromarray(scene[:60, 3 * number : 3 * number + 80]).save(folder / f"clip/img_{number + 1:05d}.png")
    return folder


def own_reader(
    folder: Path,
    numbers: list[int] = NUMBERS,
    method: Image.Resampling = Image.Resampling.BILINEAR,
    colors: slice = slice(None),
    mean: tuple[float, ...] = PIXELS.mean,
    left: int = 10,
) -> np.ndarray:
    """The network's input (F, 3, 32, 32), written without the library."""
    frames = []
    for number in numbers:
        with Image.open(folder / f"clip/img_{number + 1:05d}.png") as picture:
            pixels = np.asarray(picture.resize((53, 40), method))[4:36, left : left + 32, colors]
        frames.append((pixels / 255 - np.array(mean)) / np.array(PIXELS.std))
    return np.stack(frames).transpose(0, 3, 1, 2).astype(np.float32)


def check(folder: Path, **arguments: Any) -> Way:
    return trishift.check(folder / "clip", folder / "w.safetensors", only=[], **arguments).ways[0]


def test_own_reader_agrees(folder: Path) -> None:
    way = check(folder, frames=own_reader(folder))
    assert (way.parts_at, way.changes, way.verdict) == (None, (), "agrees")
    assert way.gaps["normalization"].size < 1e-3 and way.gaps["logits"].size < 1e-5


@pytest.mark.parametrize(
    ("plant", "stage", "words"),
    [
        ({"colors": slice(None, None, -1)}, "colors", "red and blue are swapped"),
        ({"method": Image.Resampling.NEAREST}, "resize", "with nearest neighbors"),
        ({"mean": (0.5, 0.5, 0.5)}, "normalization", "mean 0.5, 0.5, 0.5, std 0.229"),
        ({"numbers": [2, 5, 8, 11]}, "frames", "1 frame later in the video"),
        ({"numbers": [1, 5, 7, 10]}, "frames", "frame 5 instead of 4"),
        ({"numbers": NUMBERS[::-1]}, "frames", "in reverse order"),
        ({"left": 11}, "crop", "moved by 1 pixels to the right and 0 down"),
    ],
)
def test_names_planted_pixels(folder: Path, plant: dict[str, Any], stage: str, words: str) -> None:
    way = check(folder, frames=own_reader(folder, **plant))
    assert way.parts_at == stage and words in way.verdict


def test_names_several_changes_in_order(folder: Path) -> None:
    frames = own_reader(folder, colors=slice(None, None, -1), mean=(0.5, 0.5, 0.5), numbers=[2, 5, 8, 11])
    assert [stage for stage, _ in check(folder, frames=frames).changes] == ["frames", "colors", "normalization"]


def test_decoded_frames_are_compared_as_such(folder: Path) -> None:
    pictures = [np.asarray(Image.open(folder / f"clip/img_{number + 1:05d}.png")) for number in NUMBERS]
    assert check(folder, frames=np.stack(pictures)).verdict == "agrees"
    swapped = check(folder, frames=np.stack(pictures)[..., ::-1])
    assert (swapped.parts_at, swapped.changes) == ("colors", (("colors", "red and blue are swapped"),))
    noise = check(folder, frames=np.random.default_rng(1).integers(0, 256, (4, 60, 80, 3), np.uint8))
    assert noise.parts_at == "frames" and "no known change" in noise.verdict


def network(spec: ModelSpec) -> Callable[[np.ndarray], np.ndarray]:
    return open_session("pytorch", spec, weights=TENSORS).predict


def test_names_a_swapped_fold_of_the_shift(folder: Path) -> None:
    assert check(folder, predict=network(SPEC)).verdict == "agrees"
    way = check(folder, predict=network(SWAPPED))
    words = "the folds of its shift are swapped: past_first, expected future_first"
    assert (way.parts_at, way.changes) == ("features", (("features", words),))
    assert check(folder, predict=lambda clips: network(SWAPPED)(clips) + 3).changes == way.changes  # up to a constant
    swapped_colors = check(folder, predict=lambda clips: network(SPEC)(np.ascontiguousarray(clips[:, :, ::-1])))
    assert swapped_colors.parts_at == "colors"
    broken = check(folder, predict=lambda clips: np.full((1, 3), np.nan, np.float32))
    assert broken.parts_at == "logits" and "not finite" in broken.verdict
    assert check(folder, predict=lambda clips: np.zeros((1, 5), np.float32)).gaps["logits"].size == np.inf


def test_names_what_an_export_does_differently(folder: Path, tmp_path: Path) -> None:
    other = Checkpoint(TENSORS, SWAPPED, PIXELS)
    save(tmp_path / "swapped.safetensors", other)
    export = export_checkpoint(other, ExportOptions("torch"), tmp_path, "swapped").path
    right = trishift.check(folder / "clip", tmp_path / "swapped.safetensors", only=[], against=[export])
    assert right.agrees and right.ways[0].verdict == "agrees"
    sidecar = tmp_path / f"{export.name}.trishift.json"
    for _ in range(2):
        assert "the folds of its shift are swapped" in check(folder, against=[export]).verdict
        sidecar.write_text(sidecar.read_text().replace("past_first", "future_first"))  # the description is wrong
    sidecar.write_text(sidecar.read_text().replace("0.485", "0.5"))
    way = check(folder, against=[export])
    assert way.parts_at == "normalization" and "mean 0.5" in way.verdict


def test_command_prints_the_table(
    gestures: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "server", lambda make: nullcontext(make()))  # in this process, which is faster
    clip = next((gestures / "val").glob("*.mp4"))
    own = ("--only", "eval", "infer", "timeline", "stream", "opencv", "pytorch")
    assert command("check", clip, "--checkpoint", folder / "w.safetensors", *own, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {way["way"]: way["status"] for way in found["ways"]} == dict.fromkeys(own[1:], "agrees") | {
        "stream": "skipped"
    }
    assert found["agrees"] and len(found["frames"]) == 4
    assert found["ways"][0]["differences"]["normalization"] == 0


def test_command_fails_if_numbers_part(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "mine.npz", frames=own_reader(folder, mean=(0, 0, 0)))
    words = ("check", folder / "clip", "--checkpoint", folder / "w.safetensors", "--only", "infer")
    assert command(*words, "--frames", tmp_path / "mine.npz") == 1
    table = capsys.readouterr().out
    assert "parts at normalization: mean 0, 0, 0" in table and "*" in table
    assert command(*words, "--frames", folder / "w.safetensors") == 1
    assert "no readable array `frames`" in error_line(capsys)
    assert command("check", tmp_path / "none.mp4", "--checkpoint", folder / "w.safetensors") == 1
    assert "none.mp4" in error_line(capsys)


def test_refuses_what_cannot_be_compared(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sample as many"):
        check(folder, frames=own_reader(folder)[:3])
    with pytest.raises(DataError, match="give pictures"):
        check(folder, frames=np.zeros((4, 32), np.uint8))
    with pytest.raises(RecipeError, match="'inver' is unknown"):
        trishift.check(folder / "clip", folder / "w.safetensors", only=["inver"])
    with pytest.raises(CheckpointError, match=r"none\.onnx: no such file"):
        check(folder, against=[tmp_path / "none.onnx"])
    skipped = trishift.check(folder / "clip", folder / "w.safetensors", only=["stream"])
    assert skipped.ways[0].skipped and not skipped.agrees  # nothing was compared
    (tmp_path / "w.onnx").touch()
    with pytest.raises(CheckpointError, match="the exported model as `against`"):
        trishift.check(folder / "clip", tmp_path / "w.onnx")


def test_rounded_pixels_are_not_judged_by_their_scores() -> None:
    rounded = Way("opencv", {"frames": Gap(1.4, parts=False), "probabilities": Gap(0.01, parts=True)})
    assert rounded.parts_at is None and "moves probabilities by 0.01" in rounded.verdict
    exact = Way("openvino", {"frames": Gap(0, parts=False), "logits": Gap(0.01, parts=True)})
    assert exact.parts_at == "logits"
    text = str(Agreement("a\x1b[31m.mp4", "w", (0,), "<b>", 0.5, (rounded, exact)))
    assert "\x1b" not in text and "0.01*" in text
    pixels = Pixels(PIXELS, 3)
    still = np.zeros((1, 60, 80, 3), np.uint8)
    moved = still.copy()
    moved[0, :2, :2] = 200
    assert gap("frames", moved, still, pixels, 1e-4).parts  # a small change, but no rounding
