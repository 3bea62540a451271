"""InceptionV3 (Szegedy et al. 2016, arXiv:1512.00567) as a table, in the Caffe conversion that TRN-pytorch trains.

Layer names are torchvision's, but the network isn't: its convolutions have biases, the two orders of asymmetric kernels
are exchanged (7x1 before 1x7), average pools count their padding, and the last block pools by maximum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from trishift.model.backbones.bn_inception import UNEQUAL_BRANCHES, Kernel, Pool
from trishift.model.backbones.network import Network
from trishift.model.layers import BlockInput, Layers, Maps, Walk, conv, normed
from trishift.model.sizes import Size

if TYPE_CHECKING:
    from trishift.model.spec import ModelSpec


@dataclass(frozen=True)
class InceptionLayer:
    """A convolution with bias, its norm and a ReLU.

    Attributes:
        name: canonical name; within a block, the name inside the block.
        source: name in TRN-pytorch, also relative.
        channels: output channels.
        kernel: height and width.
        stride: 1 or 2.
        padded: whether the padding keeps the size of its input.
    """

    name: str
    source: str
    in_channels: int
    channels: int
    kernel: Kernel
    stride: int = 1
    padded: bool = True

    @property
    def padding(self) -> Kernel:
        """Zeros before and after each row and column."""
        return (self.kernel[0] // 2, self.kernel[1] // 2) if self.padded else (0, 0)


@dataclass(frozen=True)
class InceptionBranch:
    """A pool or none, then a chain of layers, then two parallel ones or none."""

    pool: Pool | None
    chain: tuple[InceptionLayer, ...] = ()
    fork: tuple[InceptionLayer, ...] = ()

    def channels(self, in_channels: int) -> int:
        """Channels that the branch adds to the concatenation."""
        ends = self.fork or self.chain[-1:]
        return sum(layer.channels for layer in ends) or in_channels


@dataclass(frozen=True)
class MixedBlock:
    """Branches on the same input, concatenated; `source` is its name in TRN-pytorch."""

    name: str
    source: str
    in_channels: int
    branches: tuple[InceptionBranch, ...]

    @cached_property
    def layers(self) -> tuple[InceptionLayer, ...]:
        """The convolutions of all branches."""
        return tuple(layer for branch in self.branches for layer in (*branch.chain, *branch.fork))

    @property
    def stride(self) -> int:
        """Factor by which the block shrinks its input."""
        return max(layer.stride for layer in self.layers)

    @property
    def channels(self) -> int:
        """Channels of the concatenation."""
        return sum(branch.channels(self.in_channels) for branch in self.branches)


def _branch(
    name: str,
    source: str,
    in_channels: int,
    *layers: tuple[int, int | Kernel],
    pool: Pool | None = None,
    stride: int = 1,
    fork: int = 0,
) -> InceptionBranch:
    """A branch from its layers' channels and kernels; the last has the `stride`, a fork 3x1 and 1x3 kernels."""
    chain: list[InceptionLayer] = []
    for i, (channels, size) in enumerate(layers):
        kernel = (size, size) if isinstance(size, int) else size
        last = i == len(layers) - 1
        own_name = name if last and i == 0 and not fork else f"{name}_{i + 1}"
        step = stride if last else 1
        own_source = f"{source}conv" + (f"_{i}" if i else "")
        chain.append(InceptionLayer(own_name, own_source, in_channels, channels, kernel, step, padded=step == 1))
        in_channels = channels
    forked = (
        InceptionLayer(f"{name}_{len(layers) + 1}a", f"{source}mixed_conv", in_channels, fork, (3, 1)),
        InceptionLayer(f"{name}_{len(layers) + 1}b", f"{source}mixed_conv_1", in_channels, fork, (1, 3)),
    )
    return InceptionBranch(pool, tuple(chain), forked if fork else ())


_TALL, _WIDE = (7, 1), (1, 7)


def _block_5(inputs: int, pooled: int) -> tuple[InceptionBranch, ...]:
    return (
        _branch("branch1x1", "", inputs, (64, 1)),
        _branch("branch5x5", "tower_", inputs, (48, 1), (64, 5)),
        _branch("branch3x3dbl", "tower_1_", inputs, (64, 1), (96, 3), (96, 3)),
        _branch("branch_pool", "tower_2_", inputs, (pooled, 1), pool="average"),
    )


def _block_6a(inputs: int) -> tuple[InceptionBranch, ...]:
    return (
        _branch("branch3x3", "", inputs, (384, 3), stride=2),
        _branch("branch3x3dbl", "tower_", inputs, (64, 1), (96, 3), (96, 3), stride=2),
        InceptionBranch("reduce"),
    )


def _block_6(inputs: int, inner: int) -> tuple[InceptionBranch, ...]:
    double = ((inner, 1), (inner, _WIDE), (inner, _TALL), (inner, _WIDE), (192, _TALL))
    return (
        _branch("branch1x1", "", inputs, (192, 1)),
        _branch("branch7x7", "tower_", inputs, (inner, 1), (inner, _TALL), (192, _WIDE)),
        _branch("branch7x7dbl", "tower_1_", inputs, *double),
        _branch("branch_pool", "tower_2_", inputs, (192, 1), pool="average"),
    )


def _block_7a(inputs: int) -> tuple[InceptionBranch, ...]:
    return (
        _branch("branch3x3", "tower_", inputs, (192, 1), (320, 3), stride=2),
        _branch("branch7x7x3", "tower_1_", inputs, (192, 1), (192, _TALL), (192, _WIDE), (192, 3), stride=2),
        InceptionBranch("reduce"),
    )


def _block_7(inputs: int, pool: Pool) -> tuple[InceptionBranch, ...]:
    return (
        _branch("branch1x1", "", inputs, (320, 1)),
        _branch("branch3x3", "tower_", inputs, (384, 1), fork=384),
        _branch("branch3x3dbl", "tower_1_", inputs, (448, 1), (384, 3), fork=384),
        _branch("branch_pool", "tower_2_", inputs, (192, 1), pool=pool),
    )


INCEPTION_V3_STEM = (  # max pools follow the third and the fifth layer
    InceptionLayer("Conv2d_1a_3x3", "conv", 3, 32, (3, 3), 2, padded=False),
    InceptionLayer("Conv2d_2a_3x3", "conv_1", 32, 32, (3, 3), padded=False),
    InceptionLayer("Conv2d_2b_3x3", "conv_2", 32, 64, (3, 3)),
    InceptionLayer("Conv2d_3b_1x1", "conv_3", 64, 80, (1, 1)),
    InceptionLayer("Conv2d_4a_3x3", "conv_4", 80, 192, (3, 3), padded=False),
)
POOLED_STEM_LAYERS = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")
INCEPTION_V3_BLOCKS = (
    MixedBlock("Mixed_5b", "mixed", 192, _block_5(192, 32)),
    MixedBlock("Mixed_5c", "mixed_1", 256, _block_5(256, 64)),
    MixedBlock("Mixed_5d", "mixed_2", 288, _block_5(288, 64)),
    MixedBlock("Mixed_6a", "mixed_3", 288, _block_6a(288)),
    MixedBlock("Mixed_6b", "mixed_4", 768, _block_6(768, 128)),
    MixedBlock("Mixed_6c", "mixed_5", 768, _block_6(768, 160)),
    MixedBlock("Mixed_6d", "mixed_6", 768, _block_6(768, 160)),
    MixedBlock("Mixed_6e", "mixed_7", 768, _block_6(768, 192)),
    MixedBlock("Mixed_7a", "mixed_8", 768, _block_7a(768)),
    MixedBlock("Mixed_7b", "mixed_9", 1280, _block_7(1280, "average")),
    MixedBlock("Mixed_7c", "mixed_10", 2048, _block_7(2048, "max")),
)


class InceptionV3(Network):
    """InceptionV3."""

    module = "inception_v3.InceptionV3"
    stages = (("stem",), ("Mixed_5",), ("Mixed_6",), ("Mixed_7",))
    early = 1
    residual_blocks = ()
    caffe_pixels = True
    resize = 341
    crop = 299
    small = (75, 75)
    last_maps = INCEPTION_V3_BLOCKS[-1].name

    def walk(self, spec: ModelSpec, frame: Size) -> Walk:
        """`Conv2d_1a_3x3` to `Mixed_7c`."""
        x = Maps(spec.in_channels, frame, spec.num_segments)
        for i, layer in enumerate(INCEPTION_V3_STEM):
            x = yield from _conv_norm(layer.name, layer, x, first=not i)
            x = x.pooled() if layer.name in POOLED_STEM_LAYERS else x
        for block in INCEPTION_V3_BLOCKS:
            yield BlockInput(block.name, x)
            for branch in block.branches:
                y = x
                for layer in branch.chain:
                    y = yield from _conv_norm(f"{block.name}.{layer.name}", layer, y)
                for layer in branch.fork:
                    yield from _conv_norm(f"{block.name}.{layer.name}", layer, y)
            x = replace(x.cut(3, 2) if block.stride == 2 else x, channels=block.channels)
        return x

    def misfit(self, spec: ModelSpec, inputs: Mapping[str, Maps]) -> str | None:
        """Both pools between the stages need an odd side."""
        if all(side >= 7 and side % 4 == 3 for side in inputs["Mixed_5b"].size):
            return None
        return f"do not suit {self.name}, {UNEQUAL_BRANCHES}; use 299, or another multiple of 32 plus 11, from 75"


def _conv_norm(name: str, layer: InceptionLayer, x: Maps, *, first: bool = False) -> Layers:
    convolution = conv(
        *(f"{name}.conv", x, layer.channels, layer.kernel, layer.stride),
        padded=layer.padded,
        bias="zeros",
        first=first,
    )
    return normed(convolution, f"{name}.bn")


def inception_v3_layers() -> Iterator[tuple[str, str, InceptionLayer]]:
    """Canonical name, name in TRN-pytorch and description of every convolution, in network order."""
    for layer in INCEPTION_V3_STEM:
        yield layer.name, layer.source, layer
    for block in INCEPTION_V3_BLOCKS:
        for layer in block.layers:
            yield f"{block.name}.{layer.name}", f"{block.source}_{layer.source}", layer
