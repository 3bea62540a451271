"""PaddlePaddle's networks of depthwise convolutions on frames: MobileNetV2, MobileNetV3 and PP-LCNetV2.

`model.backbones.mobile` describes them. Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip
are adjacent on the batch axis.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trishift.backends.pytorch.backbone import Backbone, Block
from trishift.backends.pytorch.batch_norm import batch_norm
from trishift.model.backbones import mobile
from trishift.model.backbones.mobile import MOBILES, SQUEEZE, Gate
from trishift.model.spec import ModelSpec


class Activation(nn.Module):
    """ReLU, ReLU6 or hard swish, x * min(max(x + 3, 0), 6) / 6."""

    def __init__(self, kind: mobile.Activation) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        if self.kind == "hardswish":
            return F.hardswish(x)
        return F.relu(x, inplace=True) if self.kind == "relu" else F.relu6(x, inplace=True)


class ConvNorm(nn.Module):
    """Padded convolution without bias, batch norm, activation."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: mobile.Activation | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.bn = batch_norm(channels)
        self.activation = Activation(activation) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H', W')."""
        return self.activation(self.bn(self.conv(x)))


class SqueezeExcitation(nn.Module):
    """Weighs channels by a function of their means (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, gate: Gate) -> None:
        super().__init__()
        self.gate = gate
        self.reduce = nn.Conv2d(channels, channels // SQUEEZE, 1)
        self.expand = nn.Conv2d(channels // SQUEEZE, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        z = self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * (torch.sigmoid(z) if self.gate == "sigmoid" else (0.2 * z + 0.5).clamp(0, 1))


class TemporalAttention(nn.Module):
    """Weighs frames by a function of the means of all frames of their clip (PP-TSMv2)."""

    def __init__(self, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.fc = nn.Linear(segments, segments)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        means = x.mean((1, 2, 3)).unflatten(0, (-1, self.segments))  # (N, T)
        return x * torch.sigmoid(self.fc(means)).flatten()[:, None, None, None]


class MobileBlock(Block):
    """See `model.backbones.mobile.MobileBlock`."""

    def __init__(self, block: mobile.MobileBlock, gate: Gate, spec: ModelSpec) -> None:
        super().__init__(spec, block.name, spec.num_segments)
        self.has_residual = block.has_residual
        hidden, kind = block.hidden, block.activation
        self.expand = ConvNorm(block.in_channels, hidden, 1, activation=kind) if block.expanded else nn.Identity()
        self.depthwise = nn.ModuleList([ConvNorm(hidden, hidden, size, block.stride, hidden) for size in block.kernels])
        self.squeeze = SqueezeExcitation(hidden, gate) if block.squeezes else nn.Identity()
        widths = (hidden, *block.pointwise)
        kinds = [*[kind] * (len(block.pointwise) - 1), None if block.linear else kind]
        self.pointwise = nn.Sequential(
            *(
                ConvNorm(inputs, outputs, 1, activation=each)
                for (inputs, outputs), each in zip(pairwise(widths), kinds, strict=True)
            )
        )
        self.activation = Activation(kind)

    def after_shift(self, x: Tensor, shifted: Tensor) -> Tensor:
        """The block's output from its input and the shifted one: (N * T, C, H, W) to (N * T, C', H', W')."""
        y = self.expand(shifted)
        first, *others = self.depthwise
        total = first(y)
        for branch in others:
            total = total + branch(y)
        y = self.pointwise(self.squeeze(self.activation(total)))
        if not self.has_residual:
            return y
        return y + (shifted if self.shifts_identity else x)


class MobileNetwork(Backbone):
    """A mobile network from frames to pooled features."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.network = network = MOBILES[spec.backbone]
        self.first = ConvNorm(spec.in_channels, network.first, 3, 2, activation=network.activation)
        self.layer0 = self._stage(0)
        self.layer1 = self._stage(1)
        self.layer2 = self._stage(2)
        self.attention = TemporalAttention(spec.num_segments) if spec.temporal_attention else nn.Identity()
        self.layer3 = self._stage(3)
        self.layer4 = self._stage(4)
        channels, kind = network.blocks[-1].channels, network.activation
        self.last = ConvNorm(channels, network.last, 1, activation=kind) if network.last else nn.Identity()
        self.widen = nn.Conv2d(network.last or channels, network.widen, 1, bias=False) if network.widen else None
        self.activation = Activation(kind)

    def _stage(self, number: int) -> nn.Sequential:
        """`layer0` to `layer4`."""
        spec, gate = self.spec, self.network.gate
        return nn.Sequential(*(MobileBlock(block, gate, spec) for block in self.network.stage(number)))

    def stem(self, x: Tensor) -> Tensor:
        """Frames (N * T, C, H, W) to the input of the first block, at half their size."""
        return self.first(x)

    def pool(self, x: Tensor) -> Tensor:
        """The last block's output (N * T, C, H, W) through the last convolutions to (N * T, F)."""
        x = self.last(x).mean((2, 3), keepdim=True)
        if self.widen is not None:
            x = self.activation(self.widen(x))
        return x.flatten(1) * (1 - self.network.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, F)."""
        x = self.layer2(self.layer1(self.layer0(self.stem(x))))
        return self.pool(self.layer4(self.layer3(self.attention(x))))
