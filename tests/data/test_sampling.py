from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trishift.data.sampling import (
    SamplingSpec,
    dense_eval,
    dense_train,
    evaluation_clips,
    legacy_dense_train,
    legacy_uniform,
    m4_dense_eval,
    m4_eval,
    m4_train,
    paddle_eval,
    paddle_train,
    training_clip,
    twice_eval,
    uniform_eval,
    uniform_train,
)
from trishift.errors import RecipeError

ALL_MODES = ["uniform", "dense", "twice", "m4", "m4_dense", "paddle"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(draw: object, times: int = 300) -> np.ndarray:
    """(times, T) draws with different seeds."""
    return np.concatenate([draw(rng(seed)) for seed in range(times)])  # type: ignore[operator]


def from_one(frames: np.ndarray) -> list[list[int]]:
    """As the originals count."""
    return (frames + 1).tolist()


@pytest.mark.parametrize(
    ("n", "frames"),
    [
        (3, [1, 1, 1, 2, 2, 3, 3, 3]),
        (5, [1, 1, 2, 3, 3, 4, 5, 5]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (30, [2, 6, 10, 14, 17, 21, 25, 29]),
        (165, [11, 31, 52, 73, 93, 114, 135, 155]),
        (1, [1] * 8),
    ],
)
def test_uniform_evaluation_matches_the_original(n: int, frames: list[int]) -> None:
    assert from_one(uniform_eval(n, 8)) == [frames]


def test_uniform_windows_follow_the_formula_of_msn() -> None:
    """Starts floor(tau / 2 + tau * i), tau = (L - 4) / S; window centers are symmetric in the clip."""
    windows = uniform_eval(100, 8, length=5).reshape(8, 5)
    assert (windows[:, 2] + 1).tolist() == [9, 21, 33, 45, 57, 69, 81, 93]
    assert (np.diff(windows, axis=1) == 1).all()


def test_windows_repeat_the_last_frame() -> None:
    assert uniform_eval(3, 2, length=5).tolist() == [[0, 1, 2, 2, 2, 0, 1, 2, 2, 2]]


def test_twice_evaluation_matches_the_original() -> None:
    expected = [[2, 6, 10, 14, 17, 21, 25, 29], [1, 4, 8, 12, 16, 19, 23, 27]]
    assert from_one(twice_eval(30, 8)) == expected


def test_uniform_training_draws_segments_independently() -> None:
    draws = drawn(lambda r: uniform_train(27, 4, r))
    for k in range(4):
        assert set(draws[:, k]) == set(range(6 * k, 6 * k + 6))
    offsets = draws - 6 * np.arange(4)
    assert (offsets != offsets[:, :1]).any()


def test_uniform_training_windows_stay_inside() -> None:
    draws = drawn(lambda r: uniform_train(20, 4, r, length=5)).reshape(-1, 4, 5)
    assert draws.max() <= 19
    for k in range(4):
        assert set(draws[:, k, 0]) == set(range(4 * k, 4 * k + 4))


def test_uniform_training_stretches_short_clips() -> None:
    draws = drawn(lambda r: uniform_train(5, 8, r))
    assert (np.diff(draws, axis=1) >= 0).all()
    assert set(draws[:, 0]) == {0}
    assert set(draws[:, 7]) == {4}
    assert set(draws.ravel()) == set(range(5))


def test_uniform_training_uses_every_frame_of_minimal_clips() -> None:
    assert uniform_train(8, 8, rng()).tolist() == [list(range(8))]


def test_dense_evaluation_matches_the_original() -> None:
    clips = dense_eval(100, 8)
    assert from_one(clips[:, :1].T) == [[1, 5, 9, 13, 17, 21, 25, 29, 33, 37]]
    assert np.diff(clips, axis=1).tolist() == [[8] * 7] * 10


def test_dense_clips_of_short_videos_wrap() -> None:
    assert from_one(dense_eval(20, 8, clips=2)) == [[1, 9, 17, 5, 13, 1, 9, 17]] * 2


def test_dense_training_start_range() -> None:
    assert set(drawn(lambda r: dense_train(66, 8, r))[:, 0]) == {0, 1, 2}
    assert set(drawn(lambda r: legacy_dense_train(66, 8, r))[:, 0]) == {0, 1}
    assert set(drawn(lambda r: legacy_dense_train(64, 8, r), 20)[:, 0]) == {0}


def test_m4_resamples_to_30_fps() -> None:
    """60 fps: every second frame; 15 fps: every frame twice."""
    assert m4_eval(160, 8, fps=60).tolist() == (2 * uniform_eval(80, 8)).tolist()
    assert m4_eval(40, 8, fps=15).tolist() == (uniform_eval(80, 8) // 2).tolist()
    assert m4_eval(90, 8, fps=30).tolist() == m4_eval(90, 8).tolist() == uniform_eval(90, 8).tolist()
    assert m4_dense_eval(160, 8, fps=60).tolist() == [[0, 22, 44, 66, 90, 112, 134, 158]]


def test_m4_train_shares_one_offset() -> None:
    draws = drawn(lambda r: m4_train(80, 8, r))
    assert (np.diff(draws, axis=1) == 10).all()
    assert set(draws[:, 0]) == set(range(10))


def test_paddle_sampling_matches_the_original() -> None:
    """Segments of floor(n / T) frames, the window in the middle; short clips wrap."""
    assert paddle_eval(83, 8).tolist() == [[4, 14, 24, 34, 44, 54, 64, 74]]
    assert paddle_eval(83, 2, length=3).reshape(2, 3).tolist() == [[19, 20, 21], [60, 61, 62]]
    assert paddle_eval(83, 2, length=3, legacy_center=True).reshape(2, 3).tolist() == [[20, 21, 22], [61, 62, 63]]
    assert paddle_eval(5, 8).tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert paddle_eval(8, 4, length=3).reshape(4, 3).tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6], [6, 7, 0]]
    draws = drawn(lambda r: paddle_train(43, 4, r, length=3)).reshape(-1, 4, 3)
    for k in range(4):
        assert set(draws[:, k, 0]) == set(range(10 * k, 10 * k + 8))


def test_legacy_uniform_repeats_the_first_frame_of_short_clips() -> None:
    assert legacy_uniform(8, 8, None).tolist() == [[0] * 8]
    assert legacy_uniform(9, 8, None).tolist() == uniform_eval(9, 8).tolist()
    assert legacy_uniform(7, 8, rng()).tolist() == [[0] * 8]
    assert legacy_uniform(8, 8, rng()).tolist() == [list(range(8))]
    assert legacy_uniform(12, 8, None, length=5).reshape(8, 5)[:, 0].tolist() == [0] * 8
    starts = drawn(lambda r: legacy_uniform(10, 8, r, length=5)).reshape(-1, 8, 5)[:, :, 0]
    assert (np.diff(starts, axis=1) >= 0).all()
    assert set(starts.ravel()) == set(range(6))


@given(
    mode=st.sampled_from(ALL_MODES),
    n=st.integers(1, 300),
    T=st.integers(1, 32),
    length=st.integers(1, 5),
    training=st.booleans(),
    fps=st.none() | st.floats(1, 240),
    legacy=st.booleans(),
)
def test_every_mode_returns_valid_frames(
    mode: str, n: int, T: int, length: int, training: bool, fps: float | None, legacy: bool
) -> None:
    options = {"legacy_short_clips": legacy and mode == "uniform", "legacy_dense_start": legacy and mode == "dense"}
    spec = SamplingSpec(mode, **options)  # type: ignore[arg-type]
    length = 1 if mode.startswith("m4") else length
    if training:
        frames = training_clip(spec, n, T, length, rng=rng(), fps=fps)
    else:
        frames = evaluation_clips(spec, n, T, length, fps=fps)
    assert frames.shape == (1 if training else spec.num_clips, T * length)
    assert frames.dtype == np.int64
    assert frames.min() >= 0 and frames.max() < n


def test_training_depends_only_on_rng() -> None:
    spec = SamplingSpec()
    one, same, other = (training_clip(spec, 200, 8, rng=rng(seed)).tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_random_evaluation_is_a_legacy_option() -> None:
    spec = SamplingSpec(clips=10, legacy_random_evaluation=True)
    clips = evaluation_clips(spec, 100, 8, rng=rng())
    assert clips.shape == (10, 8)
    assert len({tuple(clip) for clip in clips.tolist()}) > 1
    with pytest.raises(ValueError, match="rng"):
        evaluation_clips(spec, 100, 8)


def test_num_clips_follows_from_the_mode() -> None:
    assert [SamplingSpec(mode).num_clips for mode in ALL_MODES] == [1, 10, 2, 1, 1, 1]  # type: ignore[arg-type]
    assert SamplingSpec("dense", clips=3).num_clips == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window"),
        ({"clips": 3}, "mode uniform has 1 clip;"),
        ({"mode": "dense", "legacy_short_clips": True}, "requires mode uniform"),
        ({"legacy_dense_start": True}, "requires mode dense"),
        ({"legacy_paddle_center": True}, "requires mode paddle"),
    ],
)
def test_rejects_impossible_specs(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        SamplingSpec(**options)  # type: ignore[arg-type]


def test_m4_rejects_segments_of_several_frames() -> None:
    with pytest.raises(RecipeError, match="m4 samples single frames, but the model's segments have 5"):
        evaluation_clips(SamplingSpec("m4"), 100, 8, 5)
