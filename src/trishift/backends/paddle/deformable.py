"""Deformable convolution (Dai et al. 2017, arXiv:1703.06211), without modulation.

Shape legend: N maps, C channels, H x W pixels, K = k * k taps of the kernel.
"""

from __future__ import annotations

from paddle import Tensor, nn
from paddle.vision.ops import deform_conv2d


class DeformableConv(nn.Conv2D):
    """A k x k convolution of stride 1 with learned tap offsets: y(q) = b + sum over taps k of w_k x(q + p_k + d_k(q)).

    Attributes:
        offset: a convolution that predicts d: (N, 2 K, H, W), y then x per tap, in pixels.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2)
        self.padding = kernel_size // 2
        self.offset = nn.Conv2D(channels, 2 * kernel_size**2, kernel_size, padding=self.padding)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in and out."""
        return deform_conv2d(x, self.offset(x), self.weight, self.bias, padding=self.padding)
