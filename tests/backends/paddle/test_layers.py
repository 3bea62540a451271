"""Paddle's layers and loss against their definitions."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle.base.core import host_memory_stat_current_value
from tests.support.layer_definitions import convolve, shifted, slopes_at_rest

from trishift.backends.paddle.batch_norm import batch_norm, synchronize
from trishift.backends.paddle.deformable import DeformableConv
from trishift.backends.paddle.losses import loss
from trishift.backends.paddle.recognizer import Recognizer
from trishift.backends.paddle.resnet import Bottleneck
from trishift.backends.paddle.temporal_shift import TemporalShift, temporal_shift
from trishift.model.backbones.resnet import RESNETS
from trishift.model.losses import LossSpec
from trishift.model.spec import ModelSpec, ShiftSpec

RNG = np.random.default_rng(3)
SHIFTS = [
    ShiftSpec(div=4),
    ShiftSpec(div=4, order="past_first"),
    ShiftSpec(div=4, direction="unidirectional"),
    ShiftSpec(div=2),
    ShiftSpec(div=16),
    ShiftSpec(div=16, order="past_first"),  # a second fold only, as in Paddle
]


@pytest.mark.parametrize("segments", [1, 2, 4])
@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_shift_and_its_gradient(shift: ShiftSpec, segments: int) -> None:
    array, weight = RNG.standard_normal((2, 8, 10, 3, 2), np.float32)
    x = paddle.to_tensor(array, stop_gradient=False)
    y = temporal_shift(x, segments, shift)
    assert np.array_equal(y.numpy(), shifted(array, segments, shift))
    (y * paddle.to_tensor(weight)).sum().backward()
    assert np.vdot(x.grad.numpy(), array) == pytest.approx(np.vdot(weight, y.numpy()), rel=1e-4)  # the adjoint
    assert np.array_equal(x.numpy(), array)


def test_shifted_copy_is_not_kept_for_the_backward_pass() -> None:
    block = Bottleneck(RESNETS["resnet50"].blocks(16)[1], ModelSpec("resnet50", num_segments=4, shift=ShiftSpec()))
    array = RNG.standard_normal((8, 64, 7, 7), np.float32)
    gradients, kept = [], []
    for enter in (block.conv1, block._enter):
        x = paddle.to_tensor(array, stop_gradient=False)
        shifted_x = block.shift(x)
        before = host_memory_stat_current_value("Allocated", 0)
        y = enter(shifted_x)
        del shifted_x
        kept.append(host_memory_stat_current_value("Allocated", 0) - before)
        y.square().sum().backward()
        gradients.append([x.grad.numpy(), block.conv1.weight.grad.numpy()])
        block.clear_gradients()
        del x, y
    assert kept[1] == kept[0] - array.nbytes
    for found, expected in zip(*gradients, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_static_shift_takes_any_batch_and_size(shift: ShiftSpec) -> None:
    spec = paddle.static.InputSpec([None, 8, None, None], "float32")
    layer = paddle.jit.to_static(TemporalShift(4, shift), input_spec=[spec], full_graph=True)
    for shape in [(8, 8, 3, 2), (4, 8, 5, 5)]:
        array = RNG.standard_normal(shape, np.float32)
        assert np.array_equal(layer(paddle.to_tensor(array)).numpy(), shifted(array, 4, shift))


def test_running_variance_is_unbiased() -> None:
    norm = batch_norm(3)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = RNG.normal(2, 3, (2, 3, 2, 2)).astype(np.float32)
        y = norm(paddle.to_tensor(x))
        mean = 0.9 * mean + 0.1 * x.mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(norm._mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(norm._variance.numpy(), variance, rtol=1e-5)
    normal = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(y.numpy(), normal, rtol=1e-3, atol=1e-5)


def test_evaluation_does_not_update_norms() -> None:
    norm = batch_norm(2)
    norm._variance.set_value(np.array([4.0, 9.0], np.float32))
    norm.eval()
    x = RNG.standard_normal((1, 2, 1, 1), np.float32)
    np.testing.assert_allclose(norm(paddle.to_tensor(x)).numpy()[0, :, 0, 0], x[0, :, 0, 0] / [2, 3], rtol=1e-4)
    assert norm._variance.numpy().tolist() == [4, 9]


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
@pytest.mark.parametrize("k", [3, 5])
def test_deformable_convolution_equals_its_definition(size: tuple[int, int], k: int) -> None:
    conv = DeformableConv(3, k)
    x = RNG.standard_normal((2, 3, *size), np.float32)
    offset = conv.offset(paddle.to_tensor(x)).numpy()
    expected = convolve(x, offset, conv.weight.numpy(), conv.bias.numpy())
    np.testing.assert_allclose(conv(paddle.to_tensor(x)).numpy(), expected, atol=1e-4)


def test_gradient_of_zero_offsets() -> None:
    conv = DeformableConv(1, 3)
    conv.weight.set_value(paddle.ones_like(conv.weight))
    for parameter in conv.offset.parameters():
        parameter.set_value(paddle.zeros_like(parameter))
    x = RNG.standard_normal((1, 1, 5, 6), np.float32)
    conv(paddle.to_tensor(x)).sum().backward()
    np.testing.assert_allclose(conv.offset.bias.grad.numpy(), slopes_at_rest(x[0, 0], 3), atol=1e-5)


def test_synchronize_keeps_tensors_and_names() -> None:
    network = Recognizer(ModelSpec("mobilenet_v2", 3, 2))
    before = dict(network.state_dict())
    synchronize(network)
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    kinds = [type(layer) for layer in network.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]
    assert [kind.__name__ for kind in kinds] == ["_SyncBatchNorm"] * 52


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_is_smoothed_cross_entropy(soft: bool, smoothing: float) -> None:
    logits = RNG.standard_normal((5, 4)).astype(np.float32)
    indices = np.array([0, 1, 2, 3, 1])
    probabilities = RNG.dirichlet(np.ones(4), 5).astype(np.float32) if soft else np.eye(4, dtype=np.float32)[indices]
    smooth = (1 - smoothing) * probabilities + smoothing / 4
    expected = (np.log(np.exp(logits).sum(1)) - (smooth * logits).sum(1)).mean()
    targets = paddle.to_tensor(probabilities if soft else indices)
    value = loss(LossSpec(label_smoothing=smoothing))(paddle.to_tensor(logits), targets)
    assert float(value) == pytest.approx(expected, rel=1e-5)
