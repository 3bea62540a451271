"""The fused form of every network computes the same, for other sizes and batches, and leaves the network as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from testing.weights import smooth_weights
from torch import nn
from torch._inductor import config

from trishift.backends.contract import Execution
from trishift.backends.fast_forms import NATIVE
from trishift.backends.pytorch.deformable import DeformableConv
from trishift.backends.pytorch.fused import fuse
from trishift.backends.pytorch.kernels.cuda import CudaConv
from trishift.backends.pytorch.session import Session
from trishift.errors import RecipeError
from trishift.model.initialization import initial_tensors
from trishift.model.motion import MotionSpec, tdn
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

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
    "tdn": ModelSpec("resnet14", 3, 2, in_channels=15, width=8, motion=tdn(2)),
}


@pytest.mark.parametrize("name", SPECS)
def test_fused_form_computes_the_same(name: str) -> None:
    spec = SPECS[name]
    session = Session(spec, Execution(), weights=smooth_weights(spec))
    network, before = session.network.eval(), session.dump_tensors()
    fused = fuse(network, streaming=False, precision="fp32")
    for shape in ((1, spec.num_segments, spec.in_channels, 64, 64), (2, spec.num_segments, spec.in_channels, 64, 96)):
        clips = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected = network(clips)
            np.testing.assert_allclose(fused(clips), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
        on_gpu = fuse(network, streaming=False, precision="fp32", device="gpu")
        with torch.inference_mode():
            np.testing.assert_allclose(on_gpu(clips), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    kept = {type(module) for module in fused.modules()}
    assert spec.motion or nn.BatchNorm2d not in {type(module) for module in on_gpu.modules()}
    assert kept.isdisjoint({nn.ReLU6, nn.Identity}) and (spec.motion or kept.isdisjoint({nn.Conv2d, nn.BatchNorm2d}))
    assert all(np.array_equal(array, before[name]) for name, array in session.dump_tensors().items())


@pytest.mark.parametrize("name", SPECS)
def test_layers_are_those_of_the_network(name: str) -> None:
    spec = SPECS[name]
    plain, fused = (
        Session(spec, Execution(), weights=smooth_weights(spec), form=form, strict=True) for form in ("native", "fused")
    )
    opaque = tuple(path for path, layer in plain.network.backbone.named_modules() if isinstance(layer, DeformableConv))
    layers = [path for path, _ in plain.network.backbone.named_modules() if path and not path.startswith(opaque)]
    layers = [layer for layer in layers[::5] if layer != "temporal_pool"] + ["pooled", "logits"]
    clips = np.random.default_rng(0).standard_normal((2, spec.num_segments, spec.in_channels, 64, 64), np.float32)
    found = fused.features(clips, layers)
    assert fused.last_form != NATIVE
    for layer, expected in plain.features(clips, layers).items():
        np.testing.assert_allclose(found[layer], expected, rtol=0, atol=2e-5 * np.abs(expected).max(), err_msg=layer)


def test_layers_that_cannot_be_followed_come_from_the_network(caplog: pytest.LogCaptureFixture) -> None:
    spec = SPECS["msn"]
    plain, fused = (Session(spec, Execution(), form=form) for form in ("native", "fused"))
    [inside, *_] = [name for name in plain.network.state_dict() if name.endswith("offset.weight")]
    layer = inside.removeprefix("backbone.").removesuffix(".weight")
    clips = np.zeros((1, 2, 15, 64, 64), np.float32)
    np.testing.assert_array_equal(fused.features(clips, [layer])[layer], plain.features(clips, [layer])[layer])
    assert fused.last_form == NATIVE and "the fused form of this network cannot be made" in caplog.text


def test_layers_that_do_not_run_are_named() -> None:
    session = Session(SPECS["msn"], Execution())
    with pytest.raises(RecipeError, match="layer 'temporal_pool' is part of the network, but does not run"):
        session.features(np.zeros((1, 2, 15, 64, 64), np.float32), ["temporal_pool"])


def test_only_what_the_layers_need_is_computed() -> None:
    network = Session(SPECS["tsm"], Execution()).network.eval()
    fused = fuse(network, streaming=False, precision="fp32", layers=["backbone.layer1"])
    names = {name for name, _ in fused.named_modules()}
    assert "backbone.layer1.0.conv1" in names and not any(name.startswith("backbone.layer2") for name in names)


def test_form_for_gpus_converts_convolutions_once() -> None:
    spec = SPECS["tsm"]
    session = Session(spec, Execution(), weights=smooth_weights(spec))
    fused = fuse(session.network.eval(), streaming=False, precision="bf16", device="gpu")
    weights = [layer.weight for layer in fused.modules() if isinstance(layer, CudaConv)]
    assert not any(isinstance(layer, nn.Conv2d) for layer in fused.modules())
    assert {weight.dtype for weight in weights} == {torch.bfloat16}
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    clips = torch.randn((2, 4, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = fused(clips).float().numpy()
    expected = session.predict(clips.numpy())
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert session.dump_tensors()["backbone.conv1.weight"].dtype == np.float32


def test_compiled_form_follows_the_weights_and_fills_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, frozen = [], []

    def compiled(module: nn.Module) -> Callable[..., torch.Tensor]:
        def call(*inputs: torch.Tensor) -> torch.Tensor:
            seen.append(len(inputs[0]))
            frozen.append(config.freezing)
            return module(*inputs)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    spec = replace(SPECS["tsm"], backbone="resnet10")
    plain, fast = (Session(spec, Execution(), form=form, strict=True) for form in ("native", "compiled"))
    clips = np.random.default_rng(0).standard_normal((3, 4, 3, 32, 32), np.float32)
    for seed in (1, 2):
        for session in (plain, fast):
            session.load_tensors(initial_tensors(spec, seed))
        for part in (clips, clips[1:]):
            expected = plain.predict(part)
            np.testing.assert_allclose(fast.predict(part), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert seen == [3] * 6 and all(frozen) and not config.freezing  # a proof and two predictions for each seed
    assert fast.last_form == "torch.compile with frozen weights"


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
