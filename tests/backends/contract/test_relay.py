"""A run that moves from framework to framework is one run: pixels, weights, AdamW's state and the running mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support import isolated
from tests.support.installed import INSTALLED
from tests.support.tiny import write_recipe

from trishift.checkpoints.training_state import load_state
from trishift.recipe import load_recipe
from trishift.training.run import train

TRAIN = {
    **{"epochs": 3, "batch_size": 12, "lr": 1e-4, "optimizer": "adamw", "ema": 0.9, "schedule": "cosine"},
    **{"mixing": {"mixup": 0.4, "cutmix": 1, "videomix": 1, "probability": 0.8}},
    **{"stochastic_depth": 0.2, "freeze": {"stages": ["stem"], "until": 2}, "evaluate_every": 3, "precise_bn": 1},
}

AUGMENTATION = {
    **{"flip": "swap_labels", "speed": [0.5, 1], "reverse": "swap_labels", "resized_crop": {}},
    **{"rand_augment": {"operations": 2}, "color": {"hue": 0.1}, "erasing": {"probability": 0.3}},
}
DATA = {"augmentation": AUGMENTATION, "balance": "square_root"}


def test_relay_equals_one_run(gestures: Path, tmp_path: Path) -> None:
    others = [name for name in INSTALLED if name != "pytorch"]
    if not others:
        pytest.skip("PyTorch is the only framework here")
    config = write_recipe(tmp_path / "tiny.yaml", gestures, data=DATA, train=TRAIN)
    whole, relay = tmp_path / "whole", tmp_path / "relay"
    train(load_recipe(config), "pytorch", whole)
    train(load_recipe(config), "pytorch", relay, until=1)
    for epoch, framework in zip((2, 3), (others[0], others[-1]), strict=True):
        options = ("--framework", framework, "--until", epoch, "--resume", relay)
        isolated.python("-m", "trishift", "train", "--config", config, "--output", relay, *options)
    (one, state), (other, moved) = (load_state(run / "last.safetensors") for run in (whole, relay))
    assert (moved.epoch, moved.iteration) == (state.epoch, state.iteration) == (3, 9)
    for kind in ("optimizer", "average"):
        assert_close(getattr(state, kind), getattr(moved, kind))
    assert_close(one.tensors, other.tensors)


def assert_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Differences up to 1e-3 of a tensor's largest value, or of a hundredth of the largest value of all of a kind."""
    assert one.keys() == other.keys()
    largest: dict[str, float] = {}
    for name, array in one.items():
        kind = name.partition(".")[0]
        largest[kind] = max(largest.get(kind, 0), np.abs(array).max())
    for name, array in one.items():
        scale = max(np.abs(array).max(), 0.01 * largest[name.partition(".")[0]])
        difference = np.abs(array - other[name]).max() / scale
        assert difference <= 1e-3, f"{name} differs by {difference:.1e}"
