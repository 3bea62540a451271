"""The published backbones as tables: depths, widths, strides and the names of their blocks.

Every framework's builder reads these tables, so each network is described once. Block names are canonical:
torchvision's for ResNet, MobileNetV2 and InceptionV3 (see `inception_v3`), the Caffe layer names for BNInception.
PaddlePaddle's mobile networks (see `mobile`) have names like ResNets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from trishift.model.inception_v3 import INCEPTION_V3_BLOCKS
from trishift.model.mobile import ATTENDED_STAGE, MOBILES


@dataclass(frozen=True)
class ResNetArchitecture:
    """A ResNet of He et al. 2016 (arXiv:1512.03385), stride on the 3x3 convolution as in torchvision.

    Attributes:
        block: two 3x3 convolutions, or 1x1, 3x3 and 1x1.
        depths: blocks per stage.
        vd: the variant D of He et al. 2019 (arXiv:1812.01187): three 3x3 convolutions in the stem, and shortcuts that
            average 2x2 pixels instead of skipping three of four.
    """

    block: Literal["basic", "bottleneck"]
    depths: tuple[int, ...]
    vd: bool = False

    @property
    def expansion(self) -> int:
        """Output channels of a block divided by its inner width."""
        return 4 if self.block == "bottleneck" else 1


RESNETS = {
    "resnet10": ResNetArchitecture(
        "basic", (1, 1, 1, 1)
    ),  # resnet10 and resnet14 are not in torchvision: small networks for CPUs and tests
    "resnet14": ResNetArchitecture("bottleneck", (1, 1, 1, 1)),
    "resnet18": ResNetArchitecture("basic", (2, 2, 2, 2)),
    "resnet34": ResNetArchitecture("basic", (3, 4, 6, 3)),
    "resnet50": ResNetArchitecture("bottleneck", (3, 4, 6, 3)),
    "resnet101": ResNetArchitecture("bottleneck", (3, 4, 23, 3)),
    "resnet152": ResNetArchitecture("bottleneck", (3, 8, 36, 3)),
    "resnet14_vd": ResNetArchitecture("bottleneck", (1, 1, 1, 1), vd=True),
    "resnet50_vd": ResNetArchitecture("bottleneck", (3, 4, 6, 3), vd=True),
    "resnet101_vd": ResNetArchitecture("bottleneck", (3, 4, 23, 3), vd=True),
}


@dataclass(frozen=True)
class ResidualBlock:
    """One ResNet block, unrolled from its stage (1 to 4); `width` is the width of its inner convolutions."""

    name: str
    stage: int
    in_channels: int
    width: int
    channels: int
    stride: int
    vd: bool

    @property
    def has_projection(self) -> bool:
        """Whether the identity path needs a convolution to match the block's output."""
        return self.stride > 1 or self.in_channels != self.channels


def residual_blocks(backbone: str, stem_width: int) -> tuple[ResidualBlock, ...]:
    """The blocks of a ResNet in order (`layer1.0` to `layer4.2` in ResNet-50)."""
    architecture, blocks, in_channels = RESNETS[backbone], list[ResidualBlock](), stem_width
    for stage, depth in enumerate(architecture.depths, 1):
        width = stem_width * 2 ** (stage - 1)
        channels = width * architecture.expansion
        for index in range(depth):
            stride = 2 if stage > 1 and index == 0 else 1
            blocks.append(
                ResidualBlock(f"layer{stage}.{index}", stage, in_channels, width, channels, stride, architecture.vd)
            )
            in_channels = channels
    return tuple(blocks)


@dataclass(frozen=True)
class InvertedResidualStage:
    """A row of table 2 of MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381)."""

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
MOBILENET_V2_STEM_WIDTH = 32
MOBILENET_V2_LAST_WIDTH = 1280


@dataclass(frozen=True)
class InvertedResidual:
    """One MobileNetV2 block, unrolled from its stage; `index` is its position in `features`."""

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
    """The 17 blocks of MobileNetV2 1.0 in order (`features.1` to `features.17`)."""
    blocks: list[InvertedResidual] = []
    in_channels = MOBILENET_V2_STEM_WIDTH
    for stage in MOBILENET_V2_STAGES:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            blocks.append(InvertedResidual(len(blocks) + 1, in_channels, stage.channels, stage.expansion, stride))
            in_channels = stage.channels
    return tuple(blocks)


@dataclass(frozen=True)
class InceptionBlock:
    """One block of BNInception (Ioffe & Szegedy 2015, arXiv:1502.03167, Caffe conversion of TSN).

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


BN_INCEPTION_STEM_WIDTH = 64
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

BACKBONES = (*RESNETS, "mobilenet_v2", *MOBILES, "bn_inception", "inception_v3")
INCEPTIONS = ("bn_inception", "inception_v3")  # Caffe conversions: BGR pixels, and blocks without an identity path


class ShiftSite(NamedTuple):
    """The input of a block that can be shifted along time.

    Attributes:
        block: canonical name of the block.
        channels: channels of its input.
        stride: factor by which the block shrinks its input.
    """

    block: str
    channels: int
    stride: int


def shift_sites(backbone: str, width: int = 64) -> tuple[ShiftSite, ...]:
    """Every block input of a backbone that can be shifted along time, in network order.

    ResNet (of stem width `width`): the residual blocks (`layer1.0`, ...). MobileNetV2: the inverted residuals
    (`features.1`, ...). BNInception: the second stem stage (`conv2`) and the ten inception blocks. InceptionV3: the
    eleven mixed blocks (`Mixed_5b`, ...). Mobile networks of PaddlePaddle: all blocks (`layer0.0`, ...).
    """
    if backbone in RESNETS:
        return tuple(ShiftSite(b.name, b.in_channels, b.stride) for b in residual_blocks(backbone, width))
    if backbone == "mobilenet_v2":
        return tuple(ShiftSite(b.name, b.in_channels, b.stride) for b in inverted_residuals())
    if backbone in MOBILES:
        return tuple(ShiftSite(b.name, b.in_channels, b.stride) for b in MOBILES[backbone].blocks)
    if backbone == "inception_v3":
        return tuple(ShiftSite(b.name, b.in_channels, b.stride) for b in INCEPTION_V3_BLOCKS)
    return (
        ShiftSite("conv2", BN_INCEPTION_STEM_WIDTH, 2),
        *(ShiftSite(b.name, b.in_channels, b.stride) for b in BN_INCEPTION_BLOCKS),
    )


def block_names(backbone: str) -> tuple[str, ...]:
    """Canonical names of the blocks that can be shifted, in network order."""
    return tuple(site.block for site in shift_sites(backbone))


def residual_shift_blocks(backbone: str) -> tuple[str, ...]:
    """The blocks that the original TSM's `blockres` rule shifts.

    ResNet: every block, or every second block of each stage if layer3 has 23 blocks or more (ResNet-101
    and deeper); every block of the variants D, as in PP-TSM. MobileNets: the blocks with a residual connection.
    PP-LCNetV2: the first block of layer3, which PP-TSMv2 shifts. Inception networks have no residual blocks.
    """
    if backbone in RESNETS:
        step = 2 if RESNETS[backbone].depths[2] >= 23 and not RESNETS[backbone].vd else 1
        return tuple(name for name in block_names(backbone) if int(name.rpartition(".")[2]) % step == 0)
    if backbone == "mobilenet_v2":
        return tuple(block.name for block in inverted_residuals() if block.has_residual)
    if backbone == "pp_lcnet_v2":
        return (f"layer{ATTENDED_STAGE}.0",)
    if backbone in MOBILES:
        return tuple(block.name for block in MOBILES[backbone].blocks if block.has_residual)
    return ()


NON_LOCAL_BLOCKS = ("layer2.0", "layer2.2", "layer3.0", "layer3.2", "layer3.4")  # NL-TSM, after the residual block


def feature_width(backbone: str, width: int = 64) -> int:
    """Channels of the pooled features; `width` is a ResNet's stem width (64 in all published networks)."""
    if backbone in RESNETS:
        return width * 8 * RESNETS[backbone].expansion
    if backbone in MOBILES:
        return MOBILES[backbone].features
    if backbone == "inception_v3":
        return INCEPTION_V3_BLOCKS[-1].channels
    return MOBILENET_V2_LAST_WIDTH if backbone == "mobilenet_v2" else BN_INCEPTION_BLOCKS[-1].channels


INCEPTION_LAYERS = {
    "one": "1x1",
    "three_reduce": "3x3_reduce",
    "three": "3x3",
    "double_reduce": "double_3x3_reduce",
    "double_1": "double_3x3_1",
    "double_2": "double_3x3_2",
    "projection": "pool_proj",
}
"""Maps the backends' attributes of an inception block to the layer names of the Caffe model."""


def last_maps(backbone: str) -> str | None:
    """The layer whose feature maps, averaged over their pixels, are the pooled features; None: a layer follows."""
    if backbone in RESNETS:
        return "layer4"
    if backbone == "mobilenet_v2":
        return f"features.{len(inverted_residuals()) + 1}"
    if backbone in MOBILES:
        return None if MOBILES[backbone].widen else "last"
    return block_names(backbone)[-1]
