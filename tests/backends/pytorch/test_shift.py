"""The temporal shift in PyTorch against its definition, alone and inside the blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.support.layer_definitions import shifted
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from trishift.backends.pytorch.mobilenet_v2 import InvertedResidual
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.backends.pytorch.resnet import BasicBlock, Bottleneck, TemporalPool
from trishift.backends.pytorch.temporal_shift import TemporalShift, temporal_shift
from trishift.model.backbones.mobilenet_v2 import inverted_residuals
from trishift.model.backbones.resnet import RESNETS
from trishift.model.spec import ModelSpec, ShiftSpec

SHIFTS = [
    ShiftSpec(div=div, direction=direction, order=order)
    for div in (2, 3, 8)
    for direction, order in (
        ("bidirectional", "future_first"),
        ("bidirectional", "past_first"),
        ("unidirectional", "future_first"),
    )
]


def frames(count: int, channels: int, size: tuple[int, int] = (3, 2)) -> torch.Tensor:
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(channels))


@pytest.mark.parametrize("shift", SHIFTS, ids=str)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("segments", "channels"), [(4, 16), (1, 8), (3, 10), (2, 5)])
def test_shift_equals_its_definition(
    shift: ShiftSpec, memory_format: torch.memory_format, segments: int, channels: int
) -> None:
    x = frames(2 * segments, channels).to(memory_format=memory_format)
    y = temporal_shift(x, segments, shift)
    assert np.array_equal(y.numpy(), shifted(x.numpy(), segments, shift))
    assert y.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("shift", SHIFTS[3:6], ids=str)
def test_shift_gradients(shift: ShiftSpec) -> None:
    x = frames(6, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: temporal_shift(x, 3, shift), x)


def test_shift_repr() -> None:
    text = repr(TemporalShift(8, ShiftSpec(div=4, direction="unidirectional")))
    assert text == "TemporalShift(segments=8, div=4, unidirectional, future_first)"


def randomized(module: nn.Module) -> nn.Module:
    """Randomize the batch norms of a module and switch it to evaluation mode."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.running_mean)
    return module.eval()


def spec_of(backbone: str, shift: ShiftSpec, shifts_identity: bool = False) -> ModelSpec:
    placement = "block" if shifts_identity else "blockres"
    return ModelSpec(backbone, num_segments=4, shift=replace(shift, placement=placement))


@pytest.mark.parametrize("shifts_identity", [False, True])
@pytest.mark.parametrize(("kind", "backbone", "width"), [(BasicBlock, "resnet18", 16), (Bottleneck, "resnet50", 4)])
def test_residual_block_shifts_branch_or_both_paths(
    kind: type[BasicBlock] | type[Bottleneck], backbone: str, width: int, shifts_identity: bool
) -> None:
    shift, block = ShiftSpec(div=4), RESNETS[backbone].blocks(width)[1]  # without a projection
    module = randomized(kind(block, spec_of(backbone, shift, shifts_identity)))
    x = frames(8, 16, (5, 5))
    moved = torch.from_numpy(shifted(x.numpy(), 4, shift))
    before = x.clone()
    with torch.no_grad():
        expected = torch.relu(module.branch(moved) + (moved if shifts_identity else x))
        assert torch.allclose(module(x), expected, atol=1e-6)
    assert torch.equal(x, before)


def test_shifted_copy_is_not_kept_for_the_backward_pass() -> None:
    module = randomized(Bottleneck(RESNETS["resnet50"].blocks(4)[1], spec_of("resnet50", ShiftSpec())))
    copies: list[StorageWeakRef] = []
    handle = module.shift.register_forward_hook(
        lambda _, __, copy: copies.append(StorageWeakRef(copy.untyped_storage()))
    )
    gradients = []
    for keep in (False, True):
        x = frames(8, 16, (5, 5)).requires_grad_()
        if keep:
            handle.remove()
            copy = module.shift(x)
            y = torch.relu(module.branch(copy) + x)
        else:
            y = module(x)
            assert copies[0].expired()
        gradients.append(torch.autograd.grad(y.square().sum(), (x, module.conv1.weight)))
    assert all(torch.equal(found, expected) for found, expected in zip(*gradients, strict=True))


@pytest.mark.parametrize("shifts_identity", [False, True])
def test_inverted_residual_shifts_branch_or_both_paths(shifts_identity: bool) -> None:
    shift = ShiftSpec()
    description = next(block for block in inverted_residuals() if block.has_residual)
    module = randomized(InvertedResidual(description, spec_of("mobilenet_v2", shift, shifts_identity)))
    x = frames(4, description.in_channels, (4, 4))
    moved = torch.from_numpy(shifted(x.numpy(), 4, shift))
    with torch.no_grad():
        expected = module.conv(moved) + (moved if shifts_identity else x)
        assert torch.allclose(module(x), expected, atol=1e-6)


def test_networks_shift_the_blocks_of_the_spec() -> None:
    def shifts(spec: ModelSpec) -> list[str]:
        modules = Recognizer(spec).backbone.named_modules()
        return [name for name, module in modules if isinstance(module, TemporalShift)]

    placement = ("layer1.0", "layer3.0")
    assert shifts(ModelSpec("resnet10", 2, shift=ShiftSpec(placement=placement))) == [f"{n}.shift" for n in placement]
    mobilenet = shifts(ModelSpec("mobilenet_v2", 2, shift=ShiftSpec()))
    assert mobilenet == [f"features.{k}.shift" for k in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)]
    inception = shifts(ModelSpec("bn_inception", 2, shift=ShiftSpec(placement="block")))
    assert inception[:2] == ["conv2_shift", "inception_3a.shift"]
    assert len(inception) == 11
    assert shifts(ModelSpec("resnet10", 2)) == []


def test_shift_covers_half_the_segments_after_temporal_pooling() -> None:
    network = Recognizer(ModelSpec("resnet10", 2, num_segments=8, shift=ShiftSpec(), temporal_pool=True))
    shifts = [module.segments for module in network.modules() if isinstance(module, TemporalShift)]
    assert shifts == [8, 4, 4, 4]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_temporal_pool_is_a_maximum_of_three_frames(memory_format: torch.memory_format) -> None:
    x = frames(2 * 6, 4).to(memory_format=memory_format)
    clips = np.pad(x.numpy().reshape(2, 6, 4, 3, 2), ((0, 0), (1, 0), (0, 0), (0, 0), (0, 0)), constant_values=-np.inf)
    expected = np.stack([clips[:, t : t + 3].max(1) for t in (0, 2, 4)], 1)
    assert np.array_equal(TemporalPool(6)(x).numpy(), expected.reshape(6, 4, 3, 2))
