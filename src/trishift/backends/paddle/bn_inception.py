"""BNInception (Ioffe & Szegedy 2015, arXiv:1502.03167; Caffe conversion of TSN) on frames, with temporal shifts.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from trishift.backends.paddle.backbone import Backbone, Block
from trishift.backends.paddle.batch_norm import batch_norm
from trishift.backends.paddle.temporal_shift import AfterShift, shift_at
from trishift.model.backbones import bn_inception
from trishift.model.backbones.bn_inception import BN_INCEPTION_BLOCKS, Kernel, Pool
from trishift.model.spec import ModelSpec


class ConvNormRelu(nn.Layer):
    """Convolution with bias, batch norm, ReLU; padded to keep its input's size unless `padded` is false."""

    def __init__(self, in_channels: int, channels: int, kernel: Kernel, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else 0
        self.conv = nn.Conv2D(in_channels, channels, kernel, stride, padding=padding)
        self.bn = batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H', W')."""
        return F.relu(self.bn(self.conv(x)))


class CaffePool(nn.Layer):
    """Caffe's 3x3 pools: averages count the padding zeros, and `reduce` rounds sizes up."""

    def __init__(self, kind: Pool) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to the same shape, or half of it."""
        if self.kind == "reduce":
            return F.max_pool2d(x, 3, 2, ceil_mode=True)
        if self.kind == "max":
            return F.max_pool2d(x, 3, 1, padding=1)
        return F.avg_pool2d(x, 3, 1, padding=1, exclusive=False)


class InceptionBlock(Block):
    """Concatenated 1x1, 3x3, double 3x3 and pool branches on the (shifted) block input.

    The two stride-2 blocks have no 1x1 branch and do not project their pooled input.
    """

    def __init__(self, block: bn_inception.InceptionBlock, spec: ModelSpec) -> None:
        super().__init__(spec, block.name, spec.num_segments)
        inputs, stride = block.in_channels, block.stride
        self.one = ConvNormRelu(inputs, block.one, (1, 1)) if block.one else None
        self.three_reduce = ConvNormRelu(inputs, block.three[0], (1, 1))
        self.three = ConvNormRelu(block.three[0], block.three[1], (3, 3), stride)
        self.double_reduce = ConvNormRelu(inputs, block.double[0], (1, 1))
        self.double_1 = ConvNormRelu(block.double[0], block.double[1], (3, 3))
        self.double_2 = ConvNormRelu(block.double[1], block.double[2], (3, 3), stride)
        self.pool = CaffePool("reduce" if stride == 2 else block.pool)
        self.projection = ConvNormRelu(inputs, block.projection, (1, 1)) if block.projection else None

    def after_shift(self, x: Tensor, shifted: Tensor) -> Tensor:
        """The block's output from the shifted input; x is not used, because there is no identity path."""
        branches = [
            self.three(self.three_reduce(shifted)),
            self.double_2(self.double_1(self.double_reduce(shifted))),
        ]
        if self.one is not None:
            branches.insert(0, self.one(shifted))
        pooled = self.pool(shifted)
        branches.append(pooled if self.projection is None else self.projection(pooled))
        return paddle.concat(branches, axis=1)


class BNInception(Backbone):
    """BNInception from frames to pooled features."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1_7x7_s2 = ConvNormRelu(spec.in_channels, 64, (7, 7), stride=2)
        self.stem_pool = CaffePool("reduce")
        self.conv2_shift = shift_at(spec, "conv2", spec.num_segments)
        self.conv2_3x3_reduce = ConvNormRelu(64, 64, (1, 1))
        self.conv2_3x3 = ConvNormRelu(64, 192, (3, 3))
        for block in BN_INCEPTION_BLOCKS:
            self.add_sublayer(block.name, InceptionBlock(block, spec))

    def stem(self, x: Tensor) -> Tensor:
        """Frames (N * T, C, H, W) to the input of the second stem stage, at a quarter of their size."""
        return self.stem_pool(self.conv1_7x7_s2(x))

    def conv2(self, x: Tensor, shifted: Tensor) -> Tensor:
        """The second stem stage, which counts as the first block; x is not used."""
        return self.stem_pool(self.conv2_3x3(self.conv2_3x3_reduce(shifted)))

    def blocks(self) -> tuple[tuple[str, AfterShift], ...]:
        """Name and `after_shift` of every block in network order."""
        return ("conv2", self.conv2), *super().blocks()

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, F)."""
        x = self.stem(x)
        x = self.conv2(x, self.conv2_shift(x))
        for block in BN_INCEPTION_BLOCKS:
            x = getattr(self, block.name)(x)
        return self.pool(x)
