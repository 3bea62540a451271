"""The fused form of every network computes the same, for other sizes and batches, and leaves the network as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from testing.weights import smooth_weights
from torch import nn

from trishift.backends.contract import Execution
from trishift.backends.pytorch.fused import fuse
from trishift.backends.pytorch.session import Session
from trishift.model.spec import HeadSpec, ModelSpec, MotionSpec, ShiftSpec

BLOCK, ONLINE = ShiftSpec(placement="block"), ShiftSpec(direction="unidirectional")
SPECS = {
    "tsn": ModelSpec("resnet10", 3, 4, width=8),
    "tsm": ModelSpec("resnet14", 3, 4, width=8, shift=ShiftSpec()),
    "tsm past first": ModelSpec("resnet18", 3, 4, width=8, shift=ShiftSpec(order="past_first", div=4)),
    "tsm block": ModelSpec("resnet10", 3, 4, width=8, shift=BLOCK),
    "tsm one segment": ModelSpec("resnet10", 3, 1, width=8, shift=ShiftSpec()),
    "tsm temporal pool": ModelSpec("resnet10", 3, 4, width=8, shift=ShiftSpec(), temporal_pool=True),
    "tsm non-local": ModelSpec("resnet34", 3, 2, width=8, shift=ShiftSpec(), non_local=True),
    "tsm mobilenet_v2": ModelSpec("mobilenet_v2", 3, 2, shift=ShiftSpec()),
    "trn": ModelSpec("bn_inception", 3, 3, shift=BLOCK, head=HeadSpec("multiscale_relation", relation_width=8)),
    "msn": ModelSpec("resnet14", 3, 2, in_channels=15, width=8, motion=MotionSpec(window=2)),
}


@pytest.mark.parametrize("name", SPECS)
def test_fused_form_computes_the_same(name: str) -> None:
    spec = SPECS[name]
    session = Session(spec, Execution(), weights=smooth_weights(spec))
    network, before = session.network.eval(), session.dump_tensors()
    fused = fuse(network, streaming=False, precision="fp32")
    for shape in ((1, spec.num_segments, spec.in_channels, 64, 64), (2, spec.num_segments, spec.in_channels, 32, 64)):
        clips = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected = network(clips)
            np.testing.assert_allclose(fused(clips), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    kept = {type(module) for module in fused.modules()}
    assert kept.isdisjoint({nn.ReLU6, nn.Identity}) and (spec.motion or kept.isdisjoint({nn.Conv2d, nn.BatchNorm2d}))
    assert all(np.array_equal(array, before[name]) for name, array in session.dump_tensors().items())


def test_steps_of_a_stream_keep_their_state() -> None:
    """Sums in place must not reach the channels that the next frame needs."""
    spec = ModelSpec("resnet10", 3, 4, width=8, shift=ONLINE)
    plain, fused = (Session(spec, Execution(), weights=smooth_weights(spec), form=form) for form in ("native", "fused"))
    states: list = [None, None]
    for frames in np.random.default_rng(0).standard_normal((3, 2, 3, 32, 32)).astype(np.float32):
        (expected, states[0]), (found, states[1]) = plain.step(frames, states[0]), fused.step(frames, states[1])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert all(buffer.untyped_storage().nbytes() == buffer.nbytes for buffer in states[1])  # no views of feature maps


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_stays_close(precision: str) -> None:
    spec = SPECS["tsm block"]
    clips = np.random.default_rng(0).standard_normal((2, 4, 3, 32, 32)).astype(np.float32)
    exact, lower = (
        Session(spec, Execution(precision=choice), weights=smooth_weights(spec), form="fused").predict(clips)
        for choice in ("fp32", precision)
    )
    difference = np.abs(lower - exact).max() / np.abs(exact).max()
    assert 0 < difference < (0.15 if precision == "bf16" else 0.02)
