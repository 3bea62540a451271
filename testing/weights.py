"""Well-conditioned synthetic weights for measuring parity, exports and their speed."""

from __future__ import annotations

import zlib

import numpy as np

from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, tensor_table

_POOLED_STEMS = {
    "backbone.conv1_7x7_s2_bn": ("backbone.conv2_3x3_reduce",),
    "backbone.conv2_3x3_bn": tuple(
        f"backbone.inception_3a_{branch}" for branch in ("1x1", "3x3_reduce", "double_3x3_reduce", "pool_proj")
    ),
    "backbone.Conv2d_2b_3x3.bn": ("backbone.Conv2d_3b_1x1.conv",),
    "backbone.Conv2d_4a_3x3.bn": tuple(
        f"backbone.Mixed_5b.{branch}.conv" for branch in ("branch1x1", "branch5x5_1", "branch3x3dbl_1", "branch_pool")
    ),
}
"""Norms of wide stems before max pools, and the convolutions after the pool. Only every eighth channel is open, since
each window of an open one can be a tie within rounding."""
_AFTER_POOLS = {layer for layers in _POOLED_STEMS.values() for layer in layers}
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


def _open(channels: int, pooled: bool) -> np.ndarray:
    """Which channels a ReLU leaves above zero."""
    numbers = np.arange(channels)
    return numbers % 8 == 0 if pooled else numbers % 4 != 3


def _fill(info: TensorInfo) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(info.name.encode()))
    shape = info.shape
    if info.layer == "norm":
        values = rng.uniform(*_NORM_RANGES[info.role], shape)
        if info.role == "bias":
            values[~_open(len(values), info.layer_name in _POOLED_STEMS)] *= -1
    elif info.role == "weight":
        values = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        is_open = _open(shape[1], info.layer_name in _AFTER_POOLS)
        if shape[1] > 3:
            values[:, is_open] -= values[:, is_open].mean(1, keepdims=True)
    else:
        values = rng.normal(0, 0.1, shape)
    return values.astype(np.float32)
