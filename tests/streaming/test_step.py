"""Streaming matches clip inference in every framework; models that look ahead are rejected."""

from __future__ import annotations

import gc
import importlib.util

import numpy as np
import pytest
import torch
from testing import originals
from tests.support import isolated
from tests.support.streaming_experiment import CASES, lively_session

from trishift.backends import FRAMEWORKS, MODULES
from trishift.errors import DataError, RecipeError
from trishift.model.online import check_streamable, state_shapes
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.streaming.stream import Stream

ONLINE = ShiftSpec(direction="unidirectional")
SPEC = ModelSpec("resnet10", 5, 4, width=8, shift=ONLINE)
INPUT = InputSpec(resize=36, crop=32)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Results of the experiment in one framework."""
    framework = request.param
    if importlib.util.find_spec(MODULES[framework]) is None:
        pytest.skip(f"{framework} is not installed")
    folder = tmp_path_factory.mktemp(framework)
    weights = originals.write_record(originals.record("tsm_mobilenetv2_online"), folder)
    isolated.experiment("streaming_experiment", framework, folder / "results.npz", weights)
    return dict(np.load(folder / "results.npz"))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", CASES)
def test_stream_matches_per_frame_clip_logits(results: dict[str, np.ndarray], name: str) -> None:
    rows, clip = results[f"{name}/rows"], results[f"{name}/clip"]
    assert relative_error(rows, results[f"{name}/frames"]) < 1e-4
    assert relative_error(rows.mean(axis=1), clip) < 1e-4
    assert relative_error(results[f"{name}/after_reset"], rows[:, 0]) < 1e-6


@pytest.mark.parametrize("name", CASES)
def test_state_has_declared_shapes(results: dict[str, np.ndarray], name: str) -> None:
    declared, actual = results[f"{name}/state_shapes"], results[f"{name}/real_state_shapes"]
    assert np.array_equal(actual[:, 1:], declared)
    assert (actual[:, 0] == 2).all()


def test_matches_the_published_online_model(results: dict[str, np.ndarray]) -> None:
    expected = np.array(originals.record("tsm_mobilenetv2_online")["logits"], np.float32)
    assert relative_error(results["published"], expected) < 1e-4
    assert relative_error(results["published_frames"], expected) < 1e-4


def test_earlier_frames_matter() -> None:
    frames = np.random.default_rng(0).standard_normal((2, 1, 3, 32, 32)).astype(np.float32)
    stream = Stream(lively_session("pytorch", SPEC), INPUT)
    alone = stream.step(frames[1])
    stream.reset()
    stream.step(frames[0])
    assert relative_error(stream.step(frames[1]), alone) > 1e-3


def test_parallel_streams_are_independent() -> None:
    frames = np.random.default_rng(1).standard_normal((3, 2, 3, 32, 32)).astype(np.float32)
    session = lively_session("pytorch", SPEC)
    together, alone = Stream(session, INPUT), Stream(session, INPUT)
    for frame in frames:
        assert relative_error(together.step(frame)[1:], alone.step(frame[1:])) < 1e-5


def test_stream_memory_is_constant() -> None:
    session, frame = lively_session("pytorch", SPEC), np.ones((1, 3, 32, 32), np.float32)

    def kept_tensors(steps: int) -> int:
        for _ in range(steps):
            stream.step(frame)
        gc.collect()
        return sum(type(thing) is torch.Tensor for thing in gc.get_objects())

    stream = Stream(session, INPUT)
    assert kept_tensors(3) == kept_tensors(30)
    _, state = session.step(frame)
    for buffer, shape in zip(state, state_shapes(SPEC, 32, 32).values(), strict=True):
        assert buffer.untyped_storage().nbytes() == 4 * np.prod(shape)  # not a view of a whole feature map


def test_stream_shares_weights_with_the_model() -> None:
    session = lively_session("pytorch", SPEC)
    frame = np.ones((1, 3, 32, 32), np.float32)
    before, _ = session.step(frame)
    tensors = session.dump_tensors()
    tensors["head.fc.bias"] += 1
    session.load_tensors(tensors)
    assert session.step(frame)[0] == pytest.approx(before + 1, abs=1e-5)


def test_state_shapes_match_published_ones() -> None:
    spec = ModelSpec("mobilenet_v2", 27, shift=ONLINE)
    shapes = [[1, *shape] for shape in state_shapes(spec, 224, 224).values()]
    assert shapes == originals.record("tsm_mobilenetv2_online")["buffer_shapes"]
    resnet = ModelSpec("resnet50", 27, shift=ONLINE)
    assert sum(np.prod(shape) for shape in state_shapes(resnet, 224, 224).values()) == 702_464


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ModelSpec(num_classes=5, shift=ShiftSpec()), "shift is bidirectional"),
        (ModelSpec(num_classes=5, shift=ONLINE, non_local=True), "non-local"),
        (ModelSpec(num_classes=5, shift=ONLINE, temporal_pool=True), "temporal pooling"),
        (ModelSpec(num_classes=5, shift=ONLINE, head=HeadSpec("multiscale_relation")), "relations"),
    ],
)
def test_rejects_models_that_look_ahead(spec: ModelSpec, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_streamable(spec)


def test_pictures_are_preprocessed_like_clips() -> None:
    session = lively_session("pytorch", SPEC)
    stream = Stream(session, INPUT)
    logits = [stream.step_image(np.full(size, 90, np.uint8)) for size in ((40, 60, 3), (90, 50, 3))]
    plain = (90 / 255 - np.array(INPUT.mean)) / np.array(INPUT.std)
    frame = np.broadcast_to(plain[None, :, None, None], (1, 3, 32, 32)).astype(np.float32)
    stream.reset()
    assert np.concatenate([stream.step(frame), stream.step(frame)]) == pytest.approx(np.array(logits), abs=1e-4)


def test_rejects_wrong_frames() -> None:
    stream = Stream(lively_session("pytorch", SPEC), INPUT)
    with pytest.raises(DataError, match=r"\(N, 3, H, W\)"):
        stream.step(np.zeros((1, 4, 32, 32), np.float32))
    with pytest.raises(DataError, match="uint8 RGB"):
        stream.step_image(np.zeros((32, 32), np.uint8))
    stream.step(np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(DataError, match="reset"):
        stream.step(np.zeros((2, 3, 32, 32), np.float32))
