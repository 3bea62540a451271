"""MobileNetV2 1.0 (Sandler et al. 2018, arXiv:1801.04381) on frames, with temporal shifts.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor, nn

from trishift.backends.paddle.backbone import Backbone, Block
from trishift.backends.paddle.batch_norm import batch_norm
from trishift.model.backbones import mobilenet_v2
from trishift.model.backbones.mobilenet_v2 import LAST_WIDTH, STEM_WIDTH, inverted_residuals
from trishift.model.spec import ModelSpec


def conv_norm_relu(in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Padded convolution without bias, batch norm, ReLU6."""
    conv = nn.Conv2D(in_channels, channels, kernel, stride, padding=kernel // 2, groups=groups, bias_attr=False)
    return nn.Sequential(conv, batch_norm(channels), nn.ReLU6())


class InvertedResidual(Block):
    """1x1 expansion (absent at factor 1), depthwise 3x3, linear 1x1 projection; residual where shapes allow it.

    Attributes:
        conv: the residual branch.
    """

    def __init__(self, block: mobilenet_v2.InvertedResidual, spec: ModelSpec) -> None:
        super().__init__(spec, block.name, spec.num_segments)
        self.has_residual = block.has_residual
        hidden = block.in_channels * block.expansion
        expansion = [conv_norm_relu(block.in_channels, hidden, 1)] if block.expansion > 1 else []
        self.conv = nn.Sequential(
            *expansion,
            conv_norm_relu(hidden, hidden, 3, block.stride, groups=hidden),
            nn.Conv2D(hidden, block.channels, 1, bias_attr=False),
            batch_norm(block.channels),
        )

    def after_shift(self, x: Tensor, shifted: Tensor) -> Tensor:
        """The block's output from its input and the shifted one: (N * T, C, H, W) to (N * T, C', H', W')."""
        y = self.conv(shifted)
        if not self.has_residual:
            return y
        return y + (shifted if self.shifts_identity else x)


class MobileNetV2(Backbone):
    """MobileNetV2 from frames to pooled features."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        blocks = inverted_residuals()
        self.features = nn.Sequential(
            conv_norm_relu(spec.in_channels, STEM_WIDTH, 3, stride=2),
            *(InvertedResidual(block, spec) for block in blocks),
            conv_norm_relu(blocks[-1].channels, LAST_WIDTH, 1),
        )

    def stem(self, x: Tensor) -> Tensor:
        """Frames (N * T, C, H, W) to the input of the first block, at half their size."""
        return self.features[0](x)

    def pool(self, x: Tensor) -> Tensor:
        """The last block's output (N * T, C, H, W) through the last convolution to (N * T, F)."""
        return F.adaptive_avg_pool2d(self.features[-1](x), 1).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, F)."""
        return F.adaptive_avg_pool2d(self.features(x), 1).flatten(1)
