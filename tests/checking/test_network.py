"""Changes that a network cannot have do not end the search for the one that explains its logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trishift.checking import network
from trishift.checkpoints.canonical import Checkpoint
from trishift.data.stages import Pixels
from trishift.errors import CheckpointError
from trishift.model.motion import MotionSpec
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("bn_inception", 3, 2),
        ModelSpec("bn_inception", 3, 2, shift=ShiftSpec(placement="block"), head=HeadSpec("multiscale_relation")),
        ModelSpec("resnet14", 3, 2, in_channels=15, motion=MotionSpec(window=2)),
    ],
    ids=["tsn", "tsm trn", "msn"],
)
def test_impossible_changes_are_left_out(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[ModelSpec] = []

    def open_session(framework: str, changed: ModelSpec, weights: Any) -> None:
        tried.append(changed)
        raise CheckpointError("these weights do not fit")

    monkeypatch.setattr(network, "open_session", open_session)
    clip, checkpoint = np.zeros((1, 2, spec.in_channels, 8, 8), np.float32), Checkpoint({}, spec, InputSpec())
    pixels = Pixels(InputSpec(), spec.in_channels)
    assert network.name_network_change(np.arange(3.0), clip, checkpoint, pixels, "pytorch", 1e-4) == []
    assert spec in tried  # with another input
