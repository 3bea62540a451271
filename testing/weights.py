"""Well-conditioned synthetic weights for measuring parity, exports and their speed."""

from __future__ import annotations

import zlib

import numpy as np

from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, tensor_table

CLOSED = slice(3, None, 4)  # channels of every norm that the ReLU sets to zero
_NORM_RANGES = {
    "weight": (0.1, 0.2),
    "bias": (0.8, 1.2),
    "running_mean": (-0.5, 0.5),
    "running_var": (0.5, 1.5),
}


def smooth_weights(spec: ModelSpec) -> Tensors:
    """Return weights for which every layer matters and gradients are smooth functions of weights and input.

    A deep network with ReLUs near zero is chaotic: rounding switches some of them, and gradients of equal networks
    differ by several percent. Here, the norms keep three quarters of the channels well above zero and every fourth one
    well below, and convolutions do not respond to the common mean of all open channels, so that no digits are lost.
    """
    filled = {info.name: _fill(info) for info in tensor_table(spec)}
    if any(info.part == "backbone" and info.layer == "conv" and info.shape[1:2] == (1,) for info in tensor_table(spec)):
        # a depthwise convolution of a closed channel has zero variance
        filled |= {info.name: abs(filled[info.name]) for info in tensor_table(spec) if info.layer == "norm"}
    return filled


def _fill(info: TensorInfo) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(info.name.encode()))
    shape = info.shape
    if info.layer == "norm":
        values = rng.uniform(*_NORM_RANGES[info.role], shape)
        if info.role == "bias":
            values[CLOSED] *= -1
    elif info.role == "weight":
        values = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        is_open = np.ones(shape[1], bool)
        is_open[CLOSED] = False
        if shape[1] > 3:
            values[:, is_open] -= values[:, is_open].mean(1, keepdims=True)
    else:
        values = rng.normal(0, 0.1, shape)
    return values.astype(np.float32)
