"""InceptionV3 (Szegedy et al. 2016, arXiv:1512.00567; Caffe conversion of TRN) on frames, with temporal shifts.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trishift.backends.pytorch.backbone import Backbone, Block
from trishift.backends.pytorch.bn_inception import CaffePool, ConvNormRelu
from trishift.model.backbones import inception_v3
from trishift.model.backbones.inception_v3 import (
    INCEPTION_V3_BLOCKS,
    INCEPTION_V3_STEM,
    POOLED_STEM_LAYERS,
    InceptionLayer,
)
from trishift.model.spec import ModelSpec


def _layer(layer: InceptionLayer, in_channels: int | None = None) -> ConvNormRelu:
    inputs = in_channels or layer.in_channels
    return ConvNormRelu(inputs, layer.channels, layer.kernel, layer.stride, layer.padded)


class MixedBlock(Block):
    """Concatenated branches on the (shifted) block input."""

    def __init__(self, block: inception_v3.MixedBlock, spec: ModelSpec) -> None:
        super().__init__(spec, block.name, spec.num_segments)
        self.block = block
        self.pools = nn.ModuleList([CaffePool(branch.pool) for branch in block.branches if branch.pool])
        for layer in block.layers:
            self.add_module(layer.name, _layer(layer))

    def after_shift(self, x: Tensor, shifted: Tensor) -> Tensor:
        """The block's output from the shifted input; x is not used, because there is no identity path."""
        outputs: list[Tensor] = []
        pools = iter(self.pools)
        for branch in self.block.branches:
            y = next(pools)(shifted) if branch.pool else shifted
            for layer in branch.chain:
                y = self.get_submodule(layer.name)(y)
            outputs += [self.get_submodule(layer.name)(y) for layer in branch.fork] or [y]
        return torch.cat(outputs, 1)


class InceptionV3(Backbone):
    """InceptionV3 from frames to pooled features."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        for i, layer in enumerate(INCEPTION_V3_STEM):
            self.add_module(layer.name, _layer(layer, None if i else spec.in_channels))
        self.stem_pool = CaffePool("reduce")
        for block in INCEPTION_V3_BLOCKS:
            self.add_module(block.name, MixedBlock(block, spec))

    def stem(self, x: Tensor) -> Tensor:
        """Frames (N * T, C, H, W) to the input of the first block, at about an eighth of their size."""
        for layer in INCEPTION_V3_STEM:
            x = self.get_submodule(layer.name)(x)
            if layer.name in POOLED_STEM_LAYERS:
                x = self.stem_pool(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, F)."""
        x = self.stem(x)
        for block in INCEPTION_V3_BLOCKS:
            x = self.get_submodule(block.name)(x)
        return self.pool(x)
