"""BNInception (Ioffe & Szegedy 2015, arXiv:1502.03167) in TSN's Caffe conversion, with the layer names of Caffe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from trishift.model.backbones.network import Network
from trishift.model.layers import BlockInput, Layers, Maps, Walk, conv, inside, normed
from trishift.model.sizes import Size

if TYPE_CHECKING:
    from trishift.model.spec import ModelSpec

Kernel = tuple[int, int]
Pool = Literal["average", "max", "reduce"]
"""Pools of 3x3: with stride 1 and padded, or `reduce` (maximum, stride 2, not padded)."""
UNEQUAL_BRANCHES = "the branches of a block would differ in size"


@dataclass(frozen=True)
class InceptionBlock:
    """One block.

    Widths are output channels. `one` and `projection` are 0 in the two stride-2 blocks, whose pooled input is not
    projected.
    """

    name: str
    in_channels: int
    one: int
    three: tuple[int, int]
    double: tuple[int, int, int]
    projection: int
    pool: Literal["average", "max"]
    stride: int = 1

    @property
    def channels(self) -> int:
        """Channels of the concatenation 1x1, 3x3, double 3x3, pool."""
        passed = self.projection or self.in_channels
        return self.one + self.three[-1] + self.double[-1] + passed


STEM_WIDTH = 64
BN_INCEPTION_BLOCKS = (
    InceptionBlock("inception_3a", 192, 64, (64, 64), (64, 96, 96), 32, "average"),
    InceptionBlock("inception_3b", 256, 64, (64, 96), (64, 96, 96), 64, "average"),
    InceptionBlock("inception_3c", 320, 0, (128, 160), (64, 96, 96), 0, "max", stride=2),
    InceptionBlock("inception_4a", 576, 224, (64, 96), (96, 128, 128), 128, "average"),
    InceptionBlock("inception_4b", 576, 192, (96, 128), (96, 128, 128), 128, "average"),
    InceptionBlock("inception_4c", 576, 160, (128, 160), (128, 160, 160), 128, "average"),
    InceptionBlock("inception_4d", 608, 96, (128, 192), (160, 192, 192), 128, "average"),
    InceptionBlock("inception_4e", 608, 0, (128, 192), (192, 256, 256), 0, "max", stride=2),
    InceptionBlock("inception_5a", 1056, 352, (192, 320), (160, 224, 224), 128, "average"),
    InceptionBlock("inception_5b", 1024, 352, (192, 320), (192, 224, 224), 128, "max"),
)


class BNInception(Network):
    """BNInception. Its published names are flat, unlike the modules of the backends."""

    module = "bn_inception.BNInception"
    stages = (("stem",), ("inception_3",), ("inception_4",), ("inception_5",))
    early = 1
    residual_blocks = ()
    caffe_pixels = True
    last_maps = BN_INCEPTION_BLOCKS[-1].name

    def walk(self, spec: ModelSpec, frame: Size) -> Walk:
        """The first convolution, the second stem stage (`conv2`), which can be shifted, too, and ten blocks."""
        x = Maps(spec.in_channels, frame, spec.num_segments)
        x = (yield from _layer("conv1_7x7_s2", "conv1_7x7_s2", x, STEM_WIDTH, 7, 2, first=True)).pooled()
        yield BlockInput("conv2", x)
        x = yield from _layer("conv2_3x3_reduce", "conv2_3x3_reduce", x, STEM_WIDTH, 1)
        x = (yield from _layer("conv2_3x3", "conv2_3x3", x, BN_INCEPTION_BLOCKS[0].in_channels, 3)).pooled()
        for block in BN_INCEPTION_BLOCKS:
            yield BlockInput(block.name, x)
            for branch in _branches(block):
                y = x
                for attribute, suffix, channels, kernel, stride in branch:
                    y = yield from _layer(
                        f"{block.name}_{suffix}", f"{block.name}.{attribute}", y, channels, kernel, stride
                    )
            x = replace(x.pooled() if block.stride == 2 else x, channels=block.channels)
        return x

    def misfit(self, spec: ModelSpec, inputs: Mapping[str, Maps]) -> str | None:
        """Of an odd side, two-pixel steps of a convolution make one more than Caffe's pooling."""
        if not any(side % 4 for side in inputs["inception_3a"].size):
            return None
        return f"do not suit {self.name}, {UNEQUAL_BRANCHES}; use multiples of 32"


def _layer(
    name: str, module: str, x: Maps, channels: int, kernel: int, stride: int = 1, *, first: bool = False
) -> Layers:
    """A convolution and its norm: their flat Caffe name and the module path in the backends."""
    layers = conv(name, x, channels, kernel, stride, bias="zeros", first=first)
    return inside(module, normed(layers, f"{name}_bn"))


def _branches(block: InceptionBlock) -> Iterator[tuple[tuple[str, str, int, int, int], ...]]:
    """Chains of layers: attribute in the backends, Caffe's name, output channels, kernel and stride."""
    three, double, stride = block.three, block.double, block.stride
    if block.one:
        yield (("one", "1x1", block.one, 1, 1),)
    yield ("three_reduce", "3x3_reduce", three[0], 1, 1), ("three", "3x3", three[1], 3, stride)
    yield (
        ("double_reduce", "double_3x3_reduce", double[0], 1, 1),
        ("double_1", "double_3x3_1", double[1], 3, 1),
        ("double_2", "double_3x3_2", double[2], 3, stride),
    )
    if block.projection:
        yield (("projection", "pool_proj", block.projection, 1, 1),)
