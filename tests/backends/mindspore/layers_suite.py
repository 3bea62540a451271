"""MindSpore's layers against their definitions, and its names of parameters; see `test_session.py`."""

from __future__ import annotations

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, ops
from tests.support.layer_definitions import convolve, shifted, slopes_at_rest

from trishift.backends.mindspore.deformable import DeformableConv
from trishift.backends.mindspore.recognizer import Recognizer
from trishift.backends.mindspore.temporal_shift import temporal_shift
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec
from trishift.model.tensors import tensor_shapes

RNG = np.random.default_rng(3)
SHIFTS = [
    ShiftSpec(div=4),
    ShiftSpec(div=4, order="past_first"),
    ShiftSpec(div=8, direction="unidirectional"),
    ShiftSpec(div=2),
    ShiftSpec(div=16),
    ShiftSpec(div=16, order="past_first"),  # a second fold only, as in Paddle
]


@pytest.mark.parametrize("segments", [1, 2, 4])
@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_shift_equals_its_definition(shift: ShiftSpec, segments: int) -> None:
    x = RNG.standard_normal((8, 10, 3, 2)).astype(np.float32)
    assert np.array_equal(temporal_shift(Tensor(x), segments, shift).asnumpy(), shifted(x, segments, shift))


@pytest.mark.parametrize("backbone", ["resnet10", "mobilenet_v2", "bn_inception"])
def test_parameter_names_are_cell_paths(backbone: str) -> None:
    spec = ModelSpec(backbone, 3, num_segments=3, head=HeadSpec("multiscale_relation"))
    network = Recognizer(spec)
    parameters = list(network.get_parameters())
    assert len(tensor_shapes(spec)) == len(parameters) == len({parameter.name for parameter in parameters})
    for path, cell in network.cells_and_names():
        for parameter in cell.get_parameters(expand=False):
            assert parameter.name.rpartition(".")[0] == path


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
@pytest.mark.parametrize("k", [3, 5])
def test_deformable_convolution_equals_its_definition(size: tuple[int, int], k: int) -> None:
    conv = DeformableConv(3, k)
    x = RNG.standard_normal((2, 3, *size)).astype(np.float32)
    offset = conv.offset(Tensor(x)).asnumpy()
    expected = convolve(x, offset, conv.weight.asnumpy(), conv.bias.asnumpy())
    np.testing.assert_allclose(conv(Tensor(x)).asnumpy(), expected, atol=1e-4)


def test_gradient_of_zero_offsets() -> None:
    conv = DeformableConv(1, 3)
    conv.weight.set_data(ops.ones_like(conv.weight))
    for parameter in conv.offset.get_parameters():
        parameter.set_data(ops.zeros_like(parameter))
    x = RNG.standard_normal((1, 1, 5, 6)).astype(np.float32)
    gradient = mindspore.grad(lambda x: conv(x).sum(), None, conv.offset.bias)(Tensor(x))
    np.testing.assert_allclose(gradient.asnumpy(), slopes_at_rest(x[0, 0], 3), atol=1e-5)
