"""MobileNetV2 1.0 (Sandler et al. 2018, arXiv:1801.04381) with the names of torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from trishift.model.backbones.network import Network
from trishift.model.layers import BlockInput, Maps, Walk, conv, normed
from trishift.model.sizes import Size

if TYPE_CHECKING:
    from trishift.model.spec import ModelSpec


class InvertedResidualStage(NamedTuple):
    """A row of table 2 of the paper."""

    expansion: int
    channels: int
    repeats: int
    stride: int


MOBILENET_V2_STAGES = (
    InvertedResidualStage(1, 16, 1, 1),
    InvertedResidualStage(6, 24, 2, 2),
    InvertedResidualStage(6, 32, 3, 2),
    InvertedResidualStage(6, 64, 4, 2),
    InvertedResidualStage(6, 96, 3, 1),
    InvertedResidualStage(6, 160, 3, 2),
    InvertedResidualStage(6, 320, 1, 1),
)
STEM_WIDTH = 32
LAST_WIDTH = 1280
_FIRST_FEATURES = {"stem": 0, "layer1": 2, "layer2": 4, "layer3": 7, "layer4": 14}  # by resolution, as in a ResNet


@dataclass(frozen=True)
class InvertedResidual:
    """One block, unrolled from its stage; `index` is its position in `features`."""

    index: int
    in_channels: int
    channels: int
    expansion: int
    stride: int

    @property
    def name(self) -> str:
        """Canonical name."""
        return f"features.{self.index}"

    @property
    def has_residual(self) -> bool:
        """Whether the block adds its input to its output."""
        return self.stride == 1 and self.in_channels == self.channels


def inverted_residuals() -> tuple[InvertedResidual, ...]:
    """The 17 blocks in order (`features.1` to `features.17`)."""
    blocks: list[InvertedResidual] = []
    in_channels = STEM_WIDTH
    for stage in MOBILENET_V2_STAGES:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            blocks.append(InvertedResidual(len(blocks) + 1, in_channels, stage.channels, stage.expansion, stride))
            in_channels = stage.channels
    return tuple(blocks)


class MobileNetV2(Network):
    """MobileNetV2."""

    module = "mobilenet_v2.MobileNetV2"

    @property
    def residual_blocks(self) -> tuple[str, ...]:
        """The blocks with a residual connection."""
        return tuple(block.name for block in inverted_residuals() if block.has_residual)

    @property
    def last_maps(self) -> str:
        """The last convolution."""
        return f"features.{len(inverted_residuals()) + 1}"

    def stage_of(self, layer: str) -> str:
        """By the index in `features`."""
        index = int(layer.split(".")[1])
        return [stage for stage, first in _FIRST_FEATURES.items() if first <= index][-1]

    def walk(self, spec: ModelSpec, frame: Size) -> Walk:
        """`features.0` to `features.18`."""
        x = Maps(spec.in_channels, frame, spec.num_segments)
        x = yield from normed(conv("features.0.0", x, STEM_WIDTH, 3, 2, first=True), "features.0.1")
        for block in inverted_residuals():
            yield BlockInput(block.name, x)
            name, place = f"{block.name}.conv", 0
            hidden = block.in_channels * block.expansion
            if block.expansion > 1:
                x = yield from normed(conv(f"{name}.0.0", x, hidden, 1), f"{name}.0.1")
                place = 1
            depthwise = conv(f"{name}.{place}.0", x, hidden, 3, block.stride, groups=hidden)
            x = yield from normed(depthwise, f"{name}.{place}.1")
            x = yield from normed(conv(f"{name}.{place + 1}", x, block.channels, 1), f"{name}.{place + 2}")
        return (yield from normed(conv("features.18.0", x, LAST_WIDTH, 1), "features.18.1"))
