"""InceptionV3 (Szegedy et al. 2016, arXiv:1512.00567; Caffe conversion of TRN) on frames, with temporal shifts.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from trishift.backends.mindspore.backbone import Backbone, Block
from trishift.backends.mindspore.bn_inception import CaffePool, ConvNormRelu
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
        self.pool = nn.Identity()  # of the last branch
        for branch in block.branches:
            if branch.pool:
                self.pool = CaffePool(branch.pool)
        for layer in block.layers:
            self.insert_child_to_cell(layer.name, _layer(layer))
        cells = [[getattr(self, layer.name) for layer in branch.chain] for branch in block.branches]
        forks = [[getattr(self, layer.name) for layer in branch.fork] for branch in block.branches]
        self._chains, self._last_chain, self._forks = cells[:-1], cells[-1], forks[:-1]

    def after_shift(self, x: Tensor, shifted: Tensor) -> Tensor:
        """The block's output from the shifted input; x is not used, because there is no identity path."""
        outputs: tuple[Tensor, ...] = ()
        for i in range(len(self._chains)):
            y = shifted
            for layer in self._chains[i]:
                y = layer(y)
            if len(self._forks[i]) == 0:
                outputs += (y,)
            for layer in self._forks[i]:
                outputs += (layer(y),)
        y = self.pool(shifted)
        for layer in self._last_chain:
            y = layer(y)
        return ops.concat((*outputs, y), 1)


class InceptionV3(Backbone):
    """InceptionV3 from frames to pooled features."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        for i, layer in enumerate(INCEPTION_V3_STEM):
            self.insert_child_to_cell(layer.name, _layer(layer, None if i else spec.in_channels))
        self.stem_pool = CaffePool("reduce")
        for block in INCEPTION_V3_BLOCKS:
            self.insert_child_to_cell(block.name, MixedBlock(block, spec))
        self._stem = [(getattr(self, layer.name), layer.name in POOLED_STEM_LAYERS) for layer in INCEPTION_V3_STEM]
        self._blocks = [getattr(self, block.name) for block in INCEPTION_V3_BLOCKS]

    def stem(self, x: Tensor) -> Tensor:
        """Frames (N * T, C, H, W) to the input of the first block, at about an eighth of their size."""
        for layer, pooled in self._stem:
            x = layer(x)
            if pooled:
                x = self.stem_pool(x)
        return x

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, F)."""
        x = self.stem(x)
        for block in self._blocks:
            x = block(x)
        return self.pool(x)
