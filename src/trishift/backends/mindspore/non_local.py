"""The non-local block (Wang et al. 2018, arXiv:1711.07971) of NL-TSM, embedded Gaussian version."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from trishift.backends.mindspore.batch_norm import batch_norm


def conv1x1(in_channels: int, channels: int) -> nn.Conv2d:
    """A 1x1 convolution with bias."""
    return nn.Conv2d(in_channels, channels, 1, pad_mode="pad", has_bias=True)


class NonLocalBlock(nn.Cell):
    """x + BN(out(softmax(theta(x)^T phi(x)) g(x))) over all positions of all frames of a clip.

    The originals' 1x1x1 convolutions, (1, 2, 2) pooling and 3-D batch norm see each frame by itself, so they are
    2-D layers here. The attention has no 1 / sqrt(C) factor, as in the original.
    """

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        inner = channels // 2
        self.theta = conv1x1(channels, inner)
        self.phi = conv1x1(channels, inner)
        self.g = conv1x1(channels, inner)
        self.out = conv1x1(inner, channels)
        self.bn = batch_norm(channels)
        self.pool = nn.MaxPool2d(2, 2)

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        frames, _, height, width = x.shape
        query = self._positions(self.theta(x))
        key = self._positions(self.pool(self.phi(x)))
        value = self._positions(self.pool(self.g(x)))
        attention = ops.softmax(ops.bmm(query, key.swapaxes(1, 2)), -1)  # (N, T * H * W, T * H / 2 * W / 2)
        y = ops.bmm(attention, value).reshape((frames, height, width, -1)).transpose(0, 3, 1, 2)
        return x + self.bn(self.out(y))

    def _positions(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N, T * H * W, C)."""
        channels, height, width = x.shape[1:]
        return x.transpose(0, 2, 3, 1).reshape((-1, self.segments * height * width, channels))
