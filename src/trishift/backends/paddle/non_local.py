"""The non-local block (Wang et al. 2018, arXiv:1711.07971) of NL-TSM, embedded Gaussian version."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from trishift.backends.paddle.batch_norm import BatchNorm2D


class NonLocalBlock(nn.Layer):
    """x + BN(out(softmax(theta(x)^T phi(x)) g(x))) over all positions of all frames of a clip.

    The originals' 1x1x1 convolutions, (1, 2, 2) pooling and 3-D batch norm see each frame by itself, so they are
    2-D layers here. The attention has no 1 / sqrt(C) factor, as in the original.
    """

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        inner = channels // 2
        self.theta = nn.Conv2D(channels, inner, 1)
        self.phi = nn.Conv2D(channels, inner, 1)
        self.g = nn.Conv2D(channels, inner, 1)
        self.out = nn.Conv2D(inner, channels, 1)
        self.bn = BatchNorm2D(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        query = self._positions(self.theta(x))
        key = self._positions(F.max_pool2d(self.phi(x), 2))
        value = self._positions(F.max_pool2d(self.g(x), 2))
        attention = F.softmax(paddle.matmul(query, key, transpose_y=True), axis=-1)
        y = paddle.matmul(attention, value)
        y = y.reshape([-1, x.shape[2], x.shape[3], y.shape[2]]).transpose([0, 3, 1, 2])
        return x + self.bn(self.out(y))

    def _positions(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N, T * H * W, C)."""
        _, channels, height, width = x.shape
        return x.transpose([0, 2, 3, 1]).reshape([-1, self.segments * height * width, channels])
