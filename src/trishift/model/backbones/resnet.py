"""ResNets (He et al. 2016, arXiv:1512.03385) with the names of torchvision, and what TSM, MSN and TDN add to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from trishift.errors import RecipeError
from trishift.model.backbones.network import Network
from trishift.model.layers import BlockInput, Layer, Layers, Maps, Walk, changed, conv, in_part, normed
from trishift.model.motion import (
    DIFFERENCE_REDUCTION,
    MOTION_FRAMES,
    long_term,
    motion_excitation,
    motion_pyramid,
    short_term,
)
from trishift.model.non_local import NON_LOCAL_BLOCKS, non_local
from trishift.model.sizes import Size, size_text

if TYPE_CHECKING:
    from trishift.model.spec import ModelSpec


@dataclass(frozen=True)
class ResidualBlock:
    """One block, unrolled from its stage (1 to 4); `width` is the width of its inner convolutions."""

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


@dataclass(frozen=True)
class ResNet(Network):
    """A ResNet, stride on the 3x3 convolution as in torchvision.

    Attributes:
        block: two 3x3 convolutions, or 1x1, 3x3 and 1x1.
        depths: blocks per stage.
        vd: the variant D of He et al. 2019 (arXiv:1812.01187): three 3x3 convolutions in the stem, and shortcuts that
            average 2x2 pixels instead of skipping three of four.
    """

    block: Literal["basic", "bottleneck"]
    depths: tuple[int, ...]
    vd: bool = False
    module = "resnet.ResNet"
    title = "ResNets"
    options = frozenset({"width", "negative_slope", "motion", "non_local", "temporal_pool"})
    stages = (
        *(("stem", "pyramid", "short_term"), ("layer1", "motion_layer1")),
        *(("layer2",), ("layer3",), ("layer4",)),
    )
    skips_blocks = True

    @property
    def expansion(self) -> int:
        """Output channels of a block divided by its inner width."""
        return 4 if self.block == "bottleneck" else 1

    @property
    def residual_blocks(self) -> tuple[str, ...]:
        """Every block; every second one of each stage if layer3 has 23 or more, but not in variants D (PP-TSM)."""
        step = 2 if self.depths[2] >= 23 and not self.vd else 1
        return tuple(block.name for block in self.blocks() if int(block.name.rpartition(".")[2]) % step == 0)

    @property
    def last_maps(self) -> str:
        """The last stage."""
        return "layer4"

    def built_by(self, spec: ModelSpec) -> str:
        """MSN and TDN have files of their own."""
        if spec.motion is None:
            return self.module
        return "difference.DifferenceResNet" if spec.motion.kind == "tdn" else "motion.MotionResNet"

    def blocks(self, stem_width: int = 64) -> tuple[ResidualBlock, ...]:
        """The blocks in order (`layer1.0` to `layer4.2` in ResNet-50)."""
        blocks, in_channels = list[ResidualBlock](), stem_width
        for stage, depth in enumerate(self.depths, 1):
            width = stem_width * 2 ** (stage - 1)
            channels = width * self.expansion
            for index in range(depth):
                stride = 2 if stage > 1 and index == 0 else 1
                blocks.append(
                    ResidualBlock(f"layer{stage}.{index}", stage, in_channels, width, channels, stride, self.vd)
                )
                in_channels = channels
        return tuple(blocks)

    def walk(self, spec: ModelSpec, frame: Size) -> Walk:
        """Stem, four stages; in MSN and TDN the motion map and its `layer1`, which join the frame's features."""
        frames = Maps(spec.frame_channels, frame, spec.num_segments)
        x = (yield from self._stem(spec, frames)).halved()
        blocks = self.blocks(spec.width)
        for block in blocks:
            if block.stage == 2:
                x = replace(x, frames=spec.output_segments)
            yield BlockInput(block.name, x)
            x = yield from self._block(block, x, spec)
        if spec.motion:
            motion_map = motion_pyramid if spec.motion.kind == "msn" else short_term
            y = yield from in_part("motion", motion_map(frames, spec.width))
            for block in blocks:
                if block.stage == 1:
                    y = yield from changed(self._block(block, y, spec), _of_motion_map)
        return x

    def _stem(self, spec: ModelSpec, x: Maps) -> Layers:
        if not self.vd:
            return (yield from normed(_conv(spec, "conv1", x, spec.width, 7, 2, first=True), "bn1"))
        half = spec.width // 2
        x = yield from normed(_conv(spec, "conv1.0", x, half, 3, 2, first=True), "conv1.1")
        x = yield from normed(_conv(spec, "conv1.3", x, half, 3), "conv1.4")
        return (yield from normed(_conv(spec, "conv1.6", x, spec.width, 3), "bn1"))

    def _block(self, block: ResidualBlock, x: Maps, spec: ModelSpec) -> Layers:
        name, width = block.name, block.width
        kernels = [(width, 3, block.stride), (width, 3, 1)]
        if self.block == "bottleneck":
            kernels = [(width, 1, 1), (width, 3, block.stride), (block.channels, 1, 1)]
        y, outputs = x, []
        for k, kernel in enumerate(kernels, 1):
            y = yield from normed(_conv(spec, f"{name}.conv{k}", y, *kernel), f"{name}.bn{k}")
            outputs.append(y)
        if block.has_projection:
            place = f"{name}.downsample."
            first = int(block.vd)  # after the pooling, which has no tensors
            shortcut = _conv(spec, f"{place}{first}", x, block.channels, 1, block.stride)
            yield from normed(shortcut, f"{place}{first + 1}")
        if spec.non_local and name in NON_LOCAL_BLOCKS:
            yield from in_part("non_local", non_local(f"{name}.non_local", y, spec.non_local_form))
        if spec.motion and block.stage > 1:
            excite = partial(motion_excitation, window=spec.motion_window) if spec.motion.kind == "msn" else long_term
            yield from in_part("motion", excite(f"{name}.excitation", outputs[0]))
            shift = conv(f"{name}.learned_shift", outputs[0], width, (3,), groups=width, start="shift")
            yield from in_part("motion", shift)
        return y

    def check(self, spec: ModelSpec) -> None:
        """Refuse options that it cannot combine."""
        missing = set(NON_LOCAL_BLOCKS) - {block.name for block in self.blocks()}
        if spec.non_local and missing:
            raise RecipeError(f"non_local: {self.name} has no block {min(missing)}; use resnet34 or deeper")
        if not 0 <= spec.negative_slope < 1:
            raise RecipeError(f"negative_slope: {spec.negative_slope} is not in [0, 1)")
        if spec.temporal_pool and spec.num_segments % 2:
            raise RecipeError(f"temporal_pool: num_segments must be even, not {spec.num_segments}")
        if spec.motion is None:
            return
        title = spec.motion.title
        if self.block != "bottleneck":
            raise RecipeError(f"motion: {self.name} has no bottleneck blocks; use resnet50 or deeper")
        channels = MOTION_FRAMES * spec.frame_channels
        if spec.in_channels != channels:
            raise RecipeError(
                f"motion: a segment is {MOTION_FRAMES} RGB frames; set in_channels to {channels}, not "
                f"{spec.in_channels}"
            )
        if self.vd or spec.negative_slope:
            raise RecipeError(
                f"motion: {title} is a plain ResNet with ReLU; use resnet50 or deeper, without negative_slope"
            )
        others = {"shift": spec.shift is not None, "non_local": spec.non_local, "temporal_pool": spec.temporal_pool}
        for option, wanted in others.items():
            if wanted:
                raise RecipeError(f"motion: {title} cannot be combined with {option}; omit {option}")
        if spec.num_segments < 2:
            raise RecipeError(f"num_segments: {title} compares the segments of a clip; use 2 or more, not 1")
        if spec.num_segments % spec.motion_window:
            raise RecipeError(
                f"motion.window: {spec.motion.window} does not divide num_segments {spec.num_segments}; "
                "use null to compare all segments of a clip"
            )
        if spec.motion.kind == "tdn" and spec.width < DIFFERENCE_REDUCTION // 2:  # layer2 is twice as wide
            raise RecipeError(f"width: {spec.width} leaves TDN's motion modules no channels; use 8 or more")

    def misfit(self, spec: ModelSpec, inputs: Mapping[str, Maps]) -> str | None:
        """Motion modules and non-local blocks average or pool pairs of positions."""
        if spec.motion and spec.motion.kind == "tdn" and min(inputs["layer4.0"].halved().size) < 2:
            return "are too small, TDN's motion modules average 2 x 2 positions after layer4.0; use 64 x 64 or more"
        strides = {block.name: block.stride for block in self.blocks()}
        for block in NON_LOCAL_BLOCKS if spec.non_local else ():
            output = inputs[block].strided(strides[block]).size
            if min(output) < 2:
                return (
                    f"are too small, the non-local block after {block} pools {size_text(output)} positions in pairs; "
                    "use 32 x 32 or more"
                )
        return None


def _conv(
    spec: ModelSpec, name: str, x: Maps, channels: int, kernel: int, stride: int = 1, *, first: bool = False
) -> Layers:
    """A convolution of a ResNet; only MSN and TDN add a bias."""
    layers = conv(name, x, channels, kernel, stride, bias="zeros" if spec.motion else None, first=first)
    return changed(layers, lambda layer: replace(layer, bias_part="motion"))


def _of_motion_map(layer: Layer) -> Layer:
    """The copy of a layer of `layer1` that processes the motion map; it starts as the original."""
    return replace(layer, name=f"motion_{layer.name}", image_layer=layer.name)


RESNETS = {
    network.name: network
    for network in (
        ResNet("resnet10", "basic", (1, 1, 1, 1)),  # not in torchvision, like resnet14: small, for CPUs and tests
        ResNet("resnet14", "bottleneck", (1, 1, 1, 1)),
        ResNet("resnet18", "basic", (2, 2, 2, 2)),
        ResNet("resnet34", "basic", (3, 4, 6, 3)),
        ResNet("resnet50", "bottleneck", (3, 4, 6, 3)),
        ResNet("resnet101", "bottleneck", (3, 4, 23, 3)),
        ResNet("resnet152", "bottleneck", (3, 8, 36, 3)),
        ResNet("resnet14_vd", "bottleneck", (1, 1, 1, 1), vd=True),
        ResNet("resnet50_vd", "bottleneck", (3, 4, 6, 3), vd=True),
        ResNet("resnet101_vd", "bottleneck", (3, 4, 23, 3), vd=True),
    )
}
