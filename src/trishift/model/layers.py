"""Layers, and the feature maps between them: with these a backbone is described once, as a walk through it.

A walk reads like a forward pass. It takes a feature map without values through the network and yields every layer that
it passes, so channels and sizes follow from the layers before:

    x = yield from normed(conv("features.0.0", x, 32, 3, stride=2, first=True), "features.0.1")

The tensor table, the cost and the sizes of feature maps are read from the same walk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Literal

from trishift.model.sizes import Size

Shape = tuple[int, ...]
Kind = Literal["conv", "linear", "norm"]
Initializer = Literal["he_normal", "fan_in_uniform", "classifier", "zeros", "ones", "shift", "offset"]
ModelPart = Literal["backbone", "non_local", "motion", "deformable", "attention", "head"]


@dataclass(frozen=True)
class Maps:
    """Feature maps of a clip: channels, size in pixels, and number of frames."""

    channels: int
    size: Size
    frames: int

    def halved(self) -> Maps:
        """After a padded layer of stride 2."""
        return self.strided(2)

    def strided(self, stride: int) -> Maps:
        """After a padded layer."""
        return self.resized((-(-self.size[0] // stride), -(-self.size[1] // stride)))

    def cut(self, kernel: int, stride: int) -> Maps:
        """After a layer without padding."""
        return self.resized(((self.size[0] - kernel) // stride + 1, (self.size[1] - kernel) // stride + 1))

    def pooled(self) -> Maps:
        """After Caffe's pooling (3x3, stride 2, no padding, rounded up) or one of 2x2 (rounded down)."""
        return self.resized((self.size[0] // 2, self.size[1] // 2))

    def averaged(self) -> Maps:
        """The mean over pixels."""
        return self.resized((1, 1))

    def resized(self, size: Size) -> Maps:
        """The same channels and frames in another size."""
        return replace(self, size=size)


@dataclass(frozen=True)
class BlockInput:
    """The input of a block, which can be shifted along time.

    Attributes:
        block: canonical name of the block.
        maps: its input.
    """

    block: str
    maps: Maps


@dataclass(frozen=True)
class Layer:
    """A convolution, a matrix product or a norm.

    Attributes:
        name: canonical name, `layer1.0.conv1` in a backbone.
        kind: type of the layer.
        shape: canonical shape of its weight (PyTorch's layout); the other tensors have one number per output channel.
        start: initializer of the weight.
        out: its output. The numbers of the weight are each multiplied once per pixel and frame of it.
        bias: initializer of the bias; None: it has none.
        part: part of the network that it belongs to; `bias_part`, of its bias, if that is another.
        module: path of the layer in the backends' networks, if it is not `name`.
        image_layer: the layer of an image classifier that it starts as, if it is not `name`.
        first: whether it is the network's first convolution.
        per_class: whether the first axis is the class axis.
        products: multiplications per clip that need no weight.
    """

    name: str
    kind: Kind
    shape: Shape
    start: Initializer
    out: Maps
    bias: Initializer | None = None
    part: ModelPart = "backbone"
    bias_part: ModelPart | None = None
    module: str | None = None
    image_layer: str | None = None
    first: bool = False
    per_class: bool = False
    products: int = 0

    @property
    def multiplications(self) -> int:
        """Multiplications (multiply-adds) for a clip; those of norms are not counted."""
        uses = 0 if self.kind == "norm" else self.out.frames * math.prod(self.out.size)
        return math.prod(self.shape) * uses + self.products


Walk = Generator[Layer | BlockInput, None, Maps]
Layers = Generator[Layer, None, Maps]


def conv(
    name: str,
    x: Maps,
    channels: int,
    kernel: int | Shape,
    stride: int = 1,
    groups: int = 1,
    *,
    padded: bool = True,
    start: Initializer = "he_normal",
    bias: Initializer | None = None,
    first: bool = False,
) -> Layers:
    """A convolution of `x`, padded unless said otherwise; `bias` is the initializer of its bias, if it has one."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    out = replace(x.strided(stride) if padded else x.cut(sides[-1], stride), channels=channels)
    shape = (channels, x.channels // groups, *sides)
    yield Layer(name, "conv", shape, start, out, bias, first=first)
    return out


def norm(name: str, x: Maps, scale: Initializer = "ones") -> Layers:
    """A batch norm, whose scale starts as given."""
    yield Layer(name, "norm", (x.channels,), scale, x, "zeros")
    return x


def normed(layers: Layers, name: str) -> Layers:
    """Layers and a batch norm of their output."""
    x = yield from layers
    return (yield from norm(name, x))


def linear(name: str, x: Maps, outputs: int, start: Initializer, bias: Initializer) -> Layers:
    """A matrix product of the channels of `x`."""
    out = replace(x, channels=outputs)
    yield Layer(name, "linear", (outputs, x.channels), start, out, bias)
    return out


def changed(layers: Layers, change: Callable[[Layer], Layer]) -> Layers:
    """The same walk with other layers."""
    while True:
        try:
            layer = next(layers)
        except StopIteration as end:
            found: Maps = end.value
            return found
        yield change(layer)


def inside(module: str, layers: Layers) -> Layers:
    """Layers that the backends call `conv` and `bn` in a module of another name."""
    return changed(layers, lambda layer: replace(layer, module=f"{module}.{'bn' if layer.kind == 'norm' else 'conv'}"))


def in_part(part: ModelPart, layers: Layers) -> Layers:
    """Assign layers to a part, except those already assigned to a nested part."""
    return changed(layers, lambda layer: replace(layer, part=part) if layer.part == "backbone" else layer)
