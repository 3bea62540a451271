"""Mixed clips do not depend on ranks, and their labels are the shares of their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trishift.data.mixing import MixingSpec, Mixture, draw_mixtures, mix
from trishift.errors import RecipeError
from trishift.recipe import recipe_from_dict

SHAPE = (8, 4, 3, 16, 24)
ALL = MixingSpec(mixup=0.4, cutmix=1, videomix=1, probability=0.8)
SPECS = {name: MixingSpec(**{name: 1.0}) for name in ("mixup", "cutmix", "videomix")}


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Clips of one gray value each, which is also their class."""
    targets = np.arange(8)
    return np.broadcast_to(targets.reshape(8, 1, 1, 1, 1), SHAPE).astype(np.float32), targets


@pytest.mark.parametrize("name", SPECS)
def test_labels_are_the_shares_of_the_pixels(name: str) -> None:
    partly = set()
    for iteration in range(20):
        clips, targets = mix(*batch(), 8, draw_mixtures(SPECS[name], SHAPE, 0, iteration))
        assert targets.dtype == np.float32 and targets.shape == (8, 8)
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
        np.testing.assert_allclose(clips.mean((1, 2, 3, 4)), targets @ np.arange(8), rtol=1e-5)
        for place, clip in enumerate(clips):
            assert set(np.flatnonzero(targets[place])) <= {place, (place + 4) % 8}
            if name == "mixup":
                assert np.ptp(clip) == 0
            else:
                assert set(np.unique(clip)) <= {place, (place + 4) % 8}
                partly |= {len({frame.tobytes() for frame in clip})}
    assert partly == {"mixup": set(), "cutmix": {1}, "videomix": {1, 2}}[name]  # kinds of frames per clip


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_mix_like_one_process(world_size: int) -> None:
    random = np.random.default_rng(0).random(SHAPE, np.float32)
    targets = np.arange(8) % 3
    mixtures = draw_mixtures(ALL, SHAPE, 1, 5)
    whole = mix(random.copy(), targets, 3, mixtures)
    for rank in range(world_size):
        mine = slice(rank, None, world_size)
        clips, labels = mix(random[mine].copy(), targets[mine], 3, mixtures[mine])
        np.testing.assert_array_equal(clips, whole[0][mine])
        np.testing.assert_array_equal(labels, whole[1][mine])


def test_draws_depend_on_seed_and_iteration() -> None:
    assert draw_mixtures(ALL, SHAPE, 0, 3) == draw_mixtures(ALL, SHAPE, 0, 3)
    assert draw_mixtures(ALL, SHAPE, 0, 3) != draw_mixtures(ALL, SHAPE, 0, 4) != draw_mixtures(ALL, SHAPE, 1, 4)


def test_probability_and_alpha_control_the_shares() -> None:
    drawn = [mixture for i in range(100) for mixture in draw_mixtures(ALL, SHAPE, 0, i)]
    assert 0.15 < np.mean([mixture == Mixture(1.0) for mixture in drawn]) < 0.25
    assert 0.4 < np.mean([m.cuboid is None for m in drawn if m != Mixture(1.0)]) * 1.3 < 0.5
    similar = [m.share for i in range(50) for m in draw_mixtures(MixingSpec(mixup=100), SHAPE, 0, i)]
    assert min(similar) > 0.3 and max(similar) < 0.7
    clips, targets = mix(*batch(), 8, [Mixture(1.0)] * 8)
    np.testing.assert_array_equal(clips, batch()[0])
    np.testing.assert_array_equal(targets, np.eye(8))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"mixing": {"mixup": -1}}, r"train\.mixing\.mixup: must be 0 or more, not -1"),
        ({"mixing": {"probability": 2}}, r"train\.mixing\.probability: 2 is not in \[0, 1\]"),
        ({"mixing": {"cutmix": 1}, "loss": {"name": "lsep"}}, r"train\.mixing\.cutmix: clips with several labels"),
        ({"mixing": {"mixip": 1}}, r"unknown key 'train\.mixing\.mixip'; did you mean 'mixup'\?"),
    ],
)
def test_impossible_mixing_is_refused(train: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_from_dict({"train": train})
