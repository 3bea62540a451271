"""Deformable convolution (Dai et al. 2017, arXiv:1703.06211), without modulation.

Shape legend: N maps, C channels, H x W pixels, K = k * k taps of the kernel.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

_FAR = -1e4  # pixels; an offset beyond any map


class DeformableConv(nn.Conv2d):
    """A k x k convolution of stride 1 with learned tap offsets: y(q) = b + sum over taps k of w_k x(q + p_k + d_k(q)).

    Taps a whole pixel or more outside the map have neither value nor gradient. MindSpore's operator computes a gradient
    for taps exactly one pixel above or left of the map, which occur at the border when offsets start at zero, so these
    taps are moved far away.

    Attributes:
        offset: a convolution that predicts d: (N, 2 K, H, W), y then x per tap, in pixels.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        pad = kernel_size // 2
        super().__init__(channels, channels, kernel_size, pad_mode="pad", padding=pad, has_bias=True)
        self.offset = nn.Conv2d(channels, 2 * kernel_size**2, kernel_size, pad_mode="pad", padding=pad, has_bias=True)
        self.sides = (pad, pad, pad, pad)
        reach = np.arange(kernel_size, dtype=np.float32) - pad
        self.row_reach = Tensor(reach.repeat(kernel_size)[:, None, None])
        self.column_reach = Tensor(np.tile(reach, kernel_size)[:, None, None])

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in and out."""
        height, width = x.shape[2:]
        offset = self.offset(x).reshape((-1, self.row_reach.shape[0], 2, height, width))
        down, right = offset[:, :, 0], offset[:, :, 1]  # (N, K, H, W)
        rows = down + (self.row_reach + ops.arange(0, height, 1, dtype=mstype.float32).reshape((-1, 1)))
        columns = right + (self.column_reach + ops.arange(0, width, 1, dtype=mstype.float32))
        inside = ops.logical_and(rows > -1, columns > -1)
        packed = (ops.where(inside, right, _FAR), ops.where(inside, down, _FAR), ops.ones_like(right))  # no modulation
        return ops.deformable_conv2d(
            x, self.weight, ops.concat(packed, 1), self.kernel_size, (1, 1, 1, 1), self.sides, self.bias
        )
