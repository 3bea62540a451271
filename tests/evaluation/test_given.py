"""Clips that a program gives: paths, addresses, contents and frames have one prediction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from testing.encoded_clips import encode
from tests.support.file_server import serving

import trishift
from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.data.sources import open_clip
from trishift.errors import DataError, RecipeError
from trishift.evaluation.prediction import Miss
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    flow = InputSpec(modality="flow", resize=36, crop=32, mean=(0.5, 0.5), std=(0.25, 0.25))
    for name, channels, pixels in (("rgb", 3, InputSpec(resize=36, crop=32)), ("flow", 10, flow)):
        spec = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(4), in_channels=channels)
        tensors = open_session("pytorch", spec).dump_tensors()
        canonical.save(folder / f"{name}.safetensors", Checkpoint(tensors, spec, pixels, ("a", "b", "c")))
    encode(folder / "clip.mp4", "mpeg4", num_frames=9)
    return folder


def frames_of(path: Path) -> np.ndarray:
    with open_clip(path) as clip:
        return clip.read(range(clip.num_frames))


def test_one_clip_has_one_prediction_however_it_is_given(folder: Path) -> None:
    model, path = trishift.load(folder / "rgb.safetensors"), folder / "clip.mp4"
    with serving() as server:
        server.files["/clip.mp4"] = path.read_bytes()
        address = f"{server.url}/clip.mp4"
        clips = [path, str(path), address, path.read_bytes(), frames_of(path)]
        predictions = list(model.predict(clips, batch_size=5))
        alone = [model.predict(clip, top_k=2) for clip in clips]
    assert [each.name for each in predictions] == [str(path), str(path), address, "clip 3", "clip 4"]
    for each, one in zip(predictions, alone, strict=True):
        np.testing.assert_allclose(each.scores, predictions[0].scores, atol=1e-6)
        np.testing.assert_allclose(one.scores, predictions[0].scores, atol=1e-6)
        assert len(one) == 2 and each.time > 0


def test_an_endless_iterable_is_predicted_as_it_comes(folder: Path) -> None:
    model, taken = trishift.load(folder / "rgb.safetensors"), []

    def clips() -> Iterator[np.ndarray]:
        for number in count():
            taken.append(number)
            yield np.full((6, 40, 48, 3), number % 256, np.uint8)

    predictions = model.predict(clips(), batch_size=2)
    assert [next(predictions).name for _ in range(20)] == [f"clip {number}" for number in range(20)]
    assert len(taken) <= 32


def test_unreadable_clips_are_errors_or_misses(folder: Path) -> None:
    model, path = trishift.load(folder / "rgb.safetensors"), folder / "clip.mp4"
    clips = [path, folder / "gone.mp4", b"no video", np.zeros((4, 8, 8), np.uint8), "http://127.0.0.1:9/x.mp4", path]
    with pytest.raises(DataError, match="gone"):
        list(model.predict(clips))
    misses: list[Miss] = []
    assert [each.name for each in model.predict(clips, misses=misses)] == [str(path)] * 2
    assert [miss.name for miss in misses] == [str(folder / "gone.mp4"), "clip 2", "clip 3", "http://127.0.0.1:9/x.mp4"]
    assert misses[1].reason.startswith("clip 2") and "trishift-" not in misses[1].reason
    assert misses[2].reason == "clip 3: 4x8x8 uint8; frames are (T, H, W, 3) uint8 RGB, at least one"
    for wrong in (b"", np.zeros((0, 8, 8, 3), np.uint8), np.zeros((4, 8, 8, 3), np.float32)):
        with pytest.raises(DataError, match="clip 0"):
            model.predict(wrong)


def test_frames_are_no_optical_flow(folder: Path) -> None:
    with pytest.raises(DataError, match="clip 0: the model sees optical flow; give a video"):
        trishift.load(folder / "flow.safetensors").predict(np.zeros((9, 40, 40, 3), np.uint8))


def test_contents_in_any_buffer_and_arrays_of_paths_are_clips(folder: Path) -> None:
    model, path = trishift.load(folder / "rgb.safetensors"), folder / "clip.mp4"
    content = path.read_bytes()
    assert model.predict(bytearray(content)).name == model.predict(memoryview(content)).name == "clip 0"
    assert [each.name for each in model.predict(np.array([str(path)] * 2))] == [str(path)] * 2


@pytest.mark.parametrize(
    ("wrong", "name"), [(None, "NoneType"), (3, "int"), ([3], "clip 0: is of type int"), ([()], "tuple")]
)
def test_what_is_no_clip_is_named(folder: Path, wrong: Any, name: str) -> None:
    model = trishift.load(folder / "rgb.safetensors")
    with pytest.raises(DataError, match=f"{name}.*give a path"):
        list(model.predict(wrong))
    with pytest.raises(DataError, match="BufferedReader"), (folder / "clip.mp4").open("rb") as file:
        model.predict(file)


def test_a_name_that_no_file_can_have_is_one_line(folder: Path) -> None:
    model = trishift.load(folder / "rgb.safetensors")
    for clips in ("a\0b.mp4", Path("a\0b.mp4"), [folder / "clip.mp4", "a\0b.mp4"]):
        with pytest.raises(DataError, match=r"a\x00b\.mp4: no name has a NUL character; check the path"):
            list(model.predict(clips))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"top_k": 0}, {"top_k": -1}])
def test_sizes_that_would_lose_results_are_refused(folder: Path, wrong: dict[str, int]) -> None:
    model = trishift.load(folder / "rgb.safetensors")
    with pytest.raises(RecipeError, match="must be 1 or more"):
        model.predict([folder / "clip.mp4"], **wrong)
