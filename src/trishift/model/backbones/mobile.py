"""Networks of depthwise convolutions, for phones and CPUs, as PaddleVideo trains them (PP-TSM, PP-TSMv2).

`pp_mobilenet_v2`  MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), with an expansion in its first block, too
`pp_mobilenet_v3`  MobileNetV3-large (Howard et al. 2019, arXiv:1905.02244), with steeper gates than torchvision's
`pp_lcnet_v2`      PP-LCNetV2 base: parallel depthwise kernels, and no residuals but one

All are one chain: `first`, the blocks, `last`, the mean over pixels, `widen`. A block is called after its output, like
those of a ResNet: `layer1` is at a quarter of the frame's size, `layer4` at 1/32. `layer0` belongs to the stem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from trishift.model.backbones.network import Network, Widening
from trishift.model.layers import BlockInput, Layers, Maps, Walk, conv, in_part, linear, normed
from trishift.model.sizes import Size

if TYPE_CHECKING:
    from trishift.model.spec import ModelSpec

Activation = Literal["relu", "relu6", "hardswish"]
Gate = Literal["sigmoid", "hardsigmoid"]
"""Of squeeze and excitation: the logistic function, or 0.2 z + 0.5, cut to 0..1."""
SQUEEZE = 4  # factor by which squeeze and excitation narrows the channels
ATTENDED_STAGE = 3  # PP-TSMv2 weighs and shifts frames at the input of this stage


@dataclass(frozen=True)
class MobileBlock:
    """A 1x1 expansion or none, depthwise convolutions, squeeze and excitation or none, and 1x1 convolutions.

    Attributes:
        stage: 0 to 4; the block's output has 1 / 2 ** (stage + 1) of the frame's height and width.
        expanded: channels of the expansion; None: there is none.
        kernels: sizes of the depthwise convolutions, which are parallel and summed.
        pointwise: output channels of the 1x1 convolutions at the end.
        squeezes: whether it has squeeze and excitation.
        linear: whether no activation follows the last convolution.
        has_residual: whether the block adds its input to its output.
    """

    stage: int
    index: int
    in_channels: int
    expanded: int | None
    kernels: tuple[int, ...]
    pointwise: tuple[int, ...]
    stride: int
    activation: Activation
    squeezes: bool = False
    linear: bool = False
    has_residual: bool = False

    @property
    def name(self) -> str:
        """Canonical name."""
        return f"layer{self.stage}.{self.index}"

    @property
    def hidden(self) -> int:
        """Channels of the depthwise convolutions."""
        return self.expanded or self.in_channels

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.pointwise[-1]


@dataclass(frozen=True)
class MobileNetwork(Network):
    """A network.

    Attributes:
        first: channels of the first convolution, 3x3 of stride 2.
        blocks: between them.
        last: channels of the 1x1 convolution after the blocks; None: there is none.
        widen: channels of the 1x1 convolution of the pooled features, which has no norm; None: there is none.
        activation: of these three.
        gate: of squeeze and excitation.
        dropout: share of pooled features that Paddle drops in training. It does not scale up the others, but all
            features down in evaluation, and so do we: in training, dropout restores the scale.
    """

    first: int
    blocks: tuple[MobileBlock, ...]
    last: int | None
    widen: int | None
    activation: Activation
    gate: Gate = "sigmoid"
    dropout: float = 0.0
    module = "mobile.MobileNetwork"

    @property
    def residual_blocks(self) -> tuple[str, ...]:
        """The blocks with a residual connection."""
        return tuple(block.name for block in self.blocks if block.has_residual)

    @property
    def last_maps(self) -> str:
        """The last convolution, or the last block."""
        return "last" if self.last else self.blocks[-1].name

    @property
    def widening(self) -> Widening | None:
        """The 1x1 convolution of the pooled features."""
        if not self.widen or self.activation == "relu6":
            return None
        return Widening("backbone.widen", self.activation, 1 - self.dropout)

    def stage_of(self, layer: str) -> str:
        """`layer0` belongs to the stem, the layers between and after the blocks to the next block, or the last."""
        parts = {"layer0": "stem", "attention": f"layer{ATTENDED_STAGE}", "last": "layer4", "widen": "layer4"}
        return parts.get(layer.split(".")[0]) or super().stage_of(layer)

    def stage(self, number: int) -> tuple[MobileBlock, ...]:
        """The blocks of a stage."""
        return tuple(block for block in self.blocks if block.stage == number)

    def walk(self, spec: ModelSpec, frame: Size) -> Walk:
        """`first`, the blocks, `last`, the mean over pixels, `widen`."""
        x = Maps(spec.in_channels, frame, spec.num_segments)
        x = yield from _conv_norm("first", x, self.first, 3, 2, first=True)
        for block in self.blocks:
            if spec.temporal_attention and (block.stage, block.index) == (ATTENDED_STAGE, 0):
                frames = Maps(spec.num_segments, (1, 1), 1)
                fc = linear("attention.fc", frames, spec.num_segments, "classifier", "zeros")
                yield from in_part("attention", fc)
            yield BlockInput(block.name, x)
            x = yield from _block(block, x)
        if self.last:
            x = yield from _conv_norm("last", x, self.last, 1)
        if self.widen:
            x = yield from conv("widen", x.averaged(), self.widen, 1)
        return x


class LightNetwork(MobileNetwork):
    """PP-LCNetV2, whose blocks have no residuals to speak of."""

    options = frozenset({"temporal_attention"})

    @property
    def residual_blocks(self) -> tuple[str, ...]:
        """The first block of layer3, which PP-TSMv2 shifts."""
        return (f"layer{ATTENDED_STAGE}.0",)


def _block(block: MobileBlock, x: Maps) -> Layers:
    name, hidden = block.name, block.hidden
    if block.expanded:
        x = yield from _conv_norm(f"{name}.expand", x, hidden, 1)
    y = x
    for k, size in enumerate(block.kernels):
        y = yield from _conv_norm(f"{name}.depthwise.{k}", x, hidden, size, block.stride, groups=hidden)
    if block.squeezes:
        z = yield from conv(f"{name}.squeeze.reduce", y.averaged(), hidden // SQUEEZE, 1, bias="zeros")
        yield from conv(f"{name}.squeeze.expand", z, hidden, 1, bias="zeros")
    for k, channels in enumerate(block.pointwise):
        y = yield from _conv_norm(f"{name}.pointwise.{k}", y, channels, 1)
    return y


def _conv_norm(
    name: str, x: Maps, channels: int, kernel: int, stride: int = 1, groups: int = 1, *, first: bool = False
) -> Layers:
    return normed(conv(f"{name}.conv", x, channels, kernel, stride, groups, first=first), f"{name}.bn")


class _Row(NamedTuple):
    """A block before it is linked to the one before it."""

    channels: int
    stride: int
    kernels: tuple[int, ...]
    expanded: int | None = None
    inner: tuple[int, ...] = ()  # pointwise convolutions before the last one
    squeezes: bool = False
    activation: Activation = "relu"
    linear: bool = False
    residual: bool = True  # if shapes allow it


def _chain(channels: int, rows: Sequence[_Row]) -> Iterator[MobileBlock]:
    """Blocks from rows; `channels` is the width of the stem."""
    stage = index = 0
    for row in rows:
        if row.stride == 2:
            stage, index = stage + 1, 0
        fits = row.stride == 1 and row.channels == channels
        yield MobileBlock(
            *(stage, index, channels, row.expanded, row.kernels, (*row.inner, row.channels), row.stride),
            *(row.activation, row.squeezes, row.linear, row.residual and fits),
        )
        index, channels = index + 1, row.channels


def _inverted(kernel: int, expanded: int, channels: int, squeezes: bool, activation: Activation, stride: int) -> _Row:
    """A row of table 1 of MobileNetV3."""
    return _Row(channels, stride, (kernel,), expanded, (), squeezes, activation, linear=True)


def _mobilenet_v2() -> Iterator[_Row]:
    channels = 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for factor, width, repeats, stride in stages:
        for repeat in range(repeats):
            yield _inverted(3, channels * factor, width, False, "relu6", 1 if repeat else stride)
            channels = width


_MOBILENET_V3 = (
    _inverted(3, 16, 16, False, "relu", 1),
    _inverted(3, 64, 24, False, "relu", 2),
    _inverted(3, 72, 24, False, "relu", 1),
    _inverted(5, 72, 40, True, "relu", 2),
    *(_inverted(5, 120, 40, True, "relu", 1),) * 2,
    _inverted(3, 240, 80, False, "hardswish", 2),
    _inverted(3, 200, 80, False, "hardswish", 1),
    *(_inverted(3, 184, 80, False, "hardswish", 1),) * 2,
    _inverted(3, 480, 112, True, "hardswish", 1),
    _inverted(3, 672, 112, True, "hardswish", 1),
    _inverted(5, 672, 160, True, "hardswish", 2),
    *(_inverted(5, 960, 160, True, "hardswish", 1),) * 2,
)


def _lcnet_v2() -> Iterator[_Row]:
    yield _Row(64, 1, (3,))
    for width in (128, 256):
        yield _Row(width, 2, (3,))
        yield _Row(width, 1, (3,), residual=False)
    for index in range(6):
        first = index == 0
        yield _Row(512, 2 if first else 1, (5, 3) if first else (5, 3, 1), inner=(256,), squeezes=True, residual=False)
    yield _Row(1024, 2, (5, 3))
    yield _Row(1024, 1, (5, 3, 1))


MOBILES = {
    network.name: network
    for network in (
        MobileNetwork("pp_mobilenet_v2", 32, tuple(_chain(32, tuple(_mobilenet_v2()))), 1280, None, "relu6"),
        MobileNetwork(
            "pp_mobilenet_v3", 16, tuple(_chain(16, _MOBILENET_V3)), 960, 1280, "hardswish", "hardsigmoid", 0.2
        ),
        LightNetwork("pp_lcnet_v2", 32, tuple(_chain(32, tuple(_lcnet_v2()))), None, 1280, "relu", dropout=0.2),
    )
}
