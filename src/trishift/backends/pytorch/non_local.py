"""The non-local block (Wang et al. 2018, arXiv:1711.07971) of NL-TSM, embedded Gaussian version."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class NonLocalBlock(nn.Module):
    """x + BN(out(softmax(theta(x)^T phi(x)) g(x))) over all positions of all frames of a clip.

    The originals' 1x1x1 convolutions, (1, 2, 2) pooling and 3-D batch norm see each frame by itself, so they are
    2-D layers here. The attention has no 1 / sqrt(C) factor, as in the original.
    """

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        inner = channels // 2
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        query = self._positions(self.theta(x))
        key = self._positions(F.max_pool2d(self.phi(x), 2))
        value = self._positions(F.max_pool2d(self.g(x), 2))
        y = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        y = y.reshape(x.shape[0], x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2)
        return x + self.bn(self.out(y))

    def _positions(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N, 1, T * H * W, C): one attention head over the positions of a clip."""
        channels = x.shape[1]
        return x.permute(0, 2, 3, 1).reshape(x.shape[0] // self.segments, 1, -1, channels)
