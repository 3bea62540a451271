"""Deformable convolution (Dai et al. 2017, arXiv:1703.06211), without modulation.

Shape legend: N maps, C channels, H x W pixels, K = k * k taps of the kernel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_OUTSIDE = -3.0  # a coordinate of the sampling grid (-1 to 1) far outside the map


class DeformableConv(nn.Conv2d):
    """A k x k convolution of stride 1 with learned tap offsets: y(q) = b + sum over taps k of w_k x(q + p_k + d_k(q)).

    torch has no operator for it. The taps are gathered by `F.grid_sample`, which is differentiable and exportable.
    Values and gradients equal those of the operators in torchvision and Paddle.

    Attributes:
        offset: a convolution that predicts d: (N, 2 K, H, W), y then x per tap, in pixels.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2)
        self.offset = nn.Conv2d(channels, 2 * kernel_size**2, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in and out."""
        taps = _sample_taps(x, self.offset(x), self.kernel_size[0])
        return F.conv2d(taps, self.weight.flatten(1)[:, :, None, None], self.bias)


def _sample_taps(x: Tensor, offset: Tensor, kernel_size: int) -> Tensor:
    """Values at the taps of a deformable kernel, bilinear between pixels and zero outside the map.

    Taps a whole pixel or more outside the map have neither value nor gradient. The map is zero-padded to powers of two
    so that whole pixels are exact in the sampling grid (-1 to 1): the slope of bilinear interpolation jumps there, and
    offsets start at zero.

    Args:
        x: (N, C, H, W).
        offset: (N, 2 K, H, W).
        kernel_size: k.

    Returns:
        (N, C * K, H, W), with the taps of a channel adjacent.
    """
    height, width = x.shape[2:]
    precision = torch.promote_types(x.dtype, torch.float32)  # half precision cannot represent sub-pixel offsets
    rows, columns = offset.to(precision).unflatten(1, (-1, 2)).unbind(2)  # (N, K, H, W) each
    reach = torch.arange(kernel_size, device=x.device) - kernel_size // 2
    rows = rows + reach.repeat_interleave(kernel_size)[:, None, None] + torch.arange(height, device=x.device)[:, None]
    columns = columns + reach.repeat(kernel_size)[:, None, None] + torch.arange(width, device=x.device)
    inside = (rows > -1) & (rows < height) & (columns > -1) & (columns < width)
    padded_height, padded_width = _power_of_two(height), _power_of_two(width)
    grid = torch.stack(
        [
            torch.where(inside, (2 * columns + 1) / padded_width - 1, _OUTSIDE),
            torch.where(inside, (2 * rows + 1) / padded_height - 1, _OUTSIDE),
        ],
        -1,
    )
    padded = F.pad(x.to(precision), (0, padded_width - width, 0, padded_height - height))
    taps = F.grid_sample(padded, grid.flatten(1, 2), align_corners=False).to(x.dtype)  # (N, C, K * H, W)
    return taps.unflatten(2, (-1, height)).flatten(1, 2)


def _power_of_two(size: int) -> int:
    """The smallest power of two that is not less than `size`."""
    return 1 << (size - 1).bit_length()
