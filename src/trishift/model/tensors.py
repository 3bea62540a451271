"""Every tensor of a model: canonical name and shape, in network order, without building a network.

The converters and the importers compare files with this list; tests hold it against each backend's networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trishift.model.architectures import (
    BN_INCEPTION_BLOCKS,
    MOBILENET_V2_LAST_WIDTH,
    MOBILENET_V2_STEM_WIDTH,
    RESNETS,
    InceptionBlock,
    inverted_residuals,
)
from trishift.model.spec import ModelSpec, NonLocalForm

Layer = Literal["conv", "linear", "norm"]
Tensors = dict[str, np.ndarray]  # by canonical name
NORM_ROLES = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class ParameterInfo:
    """A trainable tensor in network order.

    Attributes:
        name: canonical name, `backbone.layer1.0.conv1.weight`.
        layer: type of the layer that owns it.
        role: `weight` (kernel, matrix, BN scale) or `bias` (BN shift included).
        shape: canonical (torch) shape.
    """

    name: str
    layer: Literal["conv", "linear", "norm"]
    role: Literal["weight", "bias"]
    shape: tuple[int, ...]

    @property
    def layer_name(self) -> str:
        """Canonical name of the owning layer."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a model: its canonical name, the type of its layer and its canonical (torch) shape."""

    name: str
    layer: Layer
    shape: tuple[int, ...]

    @property
    def role(self) -> str:
        """`weight`, `bias`, `running_mean` or `running_var`."""
        return self.name.rpartition(".")[2]

    @property
    def layer_name(self) -> str:
        """Canonical name of the layer."""
        return self.name.rpartition(".")[0]


def layout(spec: ModelSpec) -> tuple[TensorInfo, ...]:
    """All tensors of a model; without those of a head where `num_classes` is 0."""
    if spec.backbone in RESNETS:
        backbone = _resnet(spec)
    elif spec.backbone == "mobilenet_v2":
        backbone = _mobilenet_v2(spec)
    else:
        backbone = _bn_inception(spec)
    return (*backbone, *(_head(spec) if spec.num_classes else ()))


def _conv(name: str, shape: tuple[int, ...], bias: bool = False) -> Iterator[TensorInfo]:
    yield TensorInfo(f"{name}.weight", "conv", shape)
    if bias:
        yield TensorInfo(f"{name}.bias", "conv", shape[:1])


def _norm(name: str, channels: int) -> Iterator[TensorInfo]:
    for role in NORM_ROLES:
        yield TensorInfo(f"{name}.{role}", "norm", (channels,))


def _linear(name: str, inputs: int, outputs: int) -> Iterator[TensorInfo]:
    yield TensorInfo(f"{name}.weight", "linear", (outputs, inputs))
    yield TensorInfo(f"{name}.bias", "linear", (outputs,))


def _resnet(spec: ModelSpec) -> Iterator[TensorInfo]:
    yield from _conv("backbone.conv1", (spec.width, spec.frame_channels, 7, 7), bias=spec.motion is not None)
    yield from _norm("backbone.bn1", spec.width)
    channels = spec.width
    for stage in range(1, 5):
        yield from _resnet_stage(spec, stage, f"layer{stage}", channels)
        channels = spec.width * 2 ** (stage - 1) * RESNETS[spec.backbone].expansion
    if spec.motion:
        yield from _motion_pyramid("backbone.pyramid", spec)
        yield from _resnet_stage(spec, 1, "motion_layer1", spec.width)


def _resnet_stage(spec: ModelSpec, stage: int, layer: str, channels: int) -> Iterator[TensorInfo]:
    """The blocks of a stage that is called `layer` and gets `channels`."""
    architecture, bias = RESNETS[spec.backbone], spec.motion is not None
    width = spec.width * 2 ** (stage - 1)
    outputs = width * architecture.expansion
    for i in range(architecture.depths[stage - 1]):
        name = f"backbone.{layer}.{i}"
        if architecture.block == "basic":
            kernels = [(width, channels, 3, 3), (width, width, 3, 3)]
        else:
            kernels = [(width, channels, 1, 1), (width, width, 3, 3), (outputs, width, 1, 1)]
        for k, kernel in enumerate(kernels, 1):
            yield from _conv(f"{name}.conv{k}", kernel, bias)
            yield from _norm(f"{name}.bn{k}", kernel[0])
        if i == 0 and (channels != outputs or stage > 1):
            yield from _conv(f"{name}.downsample.0", (outputs, channels, 1, 1), bias)
            yield from _norm(f"{name}.downsample.1", outputs)
        if f"{layer}.{i}" in spec.non_local_blocks:
            yield from _non_local(f"{name}.non_local", outputs, spec.non_local_form)
        if spec.motion and stage > 1:
            yield from _motion_excitation(f"{name}.excitation", width)
            yield from _conv(f"{name}.learned_shift", (width, 1, 3))
        channels = outputs


def _non_local(name: str, channels: int, form: NonLocalForm) -> Iterator[TensorInfo]:
    for projection in ("g",) if form == "gaussian" else ("theta", "phi", "g"):
        yield from _conv(f"{name}.{projection}", (channels // 2, channels, 1, 1), bias=True)
    if form == "concatenation":
        yield from _conv(f"{name}.pair", (1, channels // 2 * 2, 1, 1))
    yield from _conv(f"{name}.out", (channels, channels // 2, 1, 1), bias=True)
    yield from _norm(f"{name}.bn", channels)


def _motion_pyramid(name: str, spec: ModelSpec) -> Iterator[TensorInfo]:
    width, inner = spec.width, spec.width // 4
    yield from _conv(f"{name}.conv1", (inner, spec.frame_channels, 7, 7))
    yield from _conv(f"{name}.conv2", (width, inner, 5, 5))
    yield from _conv(f"{name}.pixel_conv", (width, spec.in_channels - spec.frame_channels, 7, 7))
    yield from _norm(f"{name}.pixel_bn", width)
    yield from _conv(f"{name}.feature_conv", (width, 2 * inner, 5, 5))
    yield from _norm(f"{name}.feature_bn", width)


def _motion_excitation(name: str, channels: int) -> Iterator[TensorInfo]:
    inner = channels // 4
    yield from _conv(f"{name}.reduce", (inner, channels, 1, 1), bias=True)
    yield from _norm(f"{name}.reduce_bn", inner)
    for k in (3, 5):
        yield from _conv(f"{name}.deformable{k}", (inner, inner, k, k), bias=True)
        yield from _conv(f"{name}.deformable{k}.offset", (2 * k * k, inner, k, k), bias=True)
    yield from _conv(f"{name}.pooled", (inner, inner, 1, 1), bias=True)
    yield from _norm(f"{name}.pooled_bn", inner)
    yield from _conv(f"{name}.temporal", (inner, inner, 3, 3, 3), bias=True)
    yield from _norm(f"{name}.temporal_bn", inner)
    yield from _conv(f"{name}.expand", (channels, inner, 1, 1), bias=True)
    yield from _norm(f"{name}.expand_bn", channels)


def _mobilenet_v2(spec: ModelSpec) -> Iterator[TensorInfo]:
    yield from _conv("backbone.features.0.0", (MOBILENET_V2_STEM_WIDTH, spec.in_channels, 3, 3))
    yield from _norm("backbone.features.0.1", MOBILENET_V2_STEM_WIDTH)
    channels = MOBILENET_V2_STEM_WIDTH
    for block in inverted_residuals():
        name = f"backbone.features.{block.index}.conv"
        hidden = block.in_channels * block.expansion
        depthwise = 0
        if block.expansion > 1:
            yield from _conv(f"{name}.0.0", (hidden, block.in_channels, 1, 1))
            yield from _norm(f"{name}.0.1", hidden)
            depthwise = 1
        yield from _conv(f"{name}.{depthwise}.0", (hidden, 1, 3, 3))
        yield from _norm(f"{name}.{depthwise}.1", hidden)
        yield from _conv(f"{name}.{depthwise + 1}", (block.channels, hidden, 1, 1))
        yield from _norm(f"{name}.{depthwise + 2}", block.channels)
        channels = block.channels
    yield from _conv("backbone.features.18.0", (MOBILENET_V2_LAST_WIDTH, channels, 1, 1))
    yield from _norm("backbone.features.18.1", MOBILENET_V2_LAST_WIDTH)


def _bn_inception(spec: ModelSpec) -> Iterator[TensorInfo]:
    yield from _inception_layer("conv1_7x7_s2", (64, spec.in_channels, 7, 7))
    yield from _inception_layer("conv2_3x3_reduce", (64, 64, 1, 1))
    yield from _inception_layer("conv2_3x3", (192, 64, 3, 3))
    for block in BN_INCEPTION_BLOCKS:
        for branch, shape in _inception_branches(block):
            yield from _inception_layer(f"{block.name}_{branch}", shape)


def _inception_layer(name: str, shape: tuple[int, ...]) -> Iterator[TensorInfo]:
    yield from _conv(f"backbone.{name}", shape, bias=True)
    yield from _norm(f"backbone.{name}_bn", shape[0])


def _inception_branches(block: InceptionBlock) -> Iterator[tuple[str, tuple[int, ...]]]:
    inputs, (three, double) = block.in_channels, (block.three, block.double)
    if block.one:
        yield "1x1", (block.one, inputs, 1, 1)
    yield "3x3_reduce", (three[0], inputs, 1, 1)
    yield "3x3", (three[1], three[0], 3, 3)
    yield "double_3x3_reduce", (double[0], inputs, 1, 1)
    yield "double_3x3_1", (double[1], double[0], 3, 3)
    yield "double_3x3_2", (double[2], double[1], 3, 3)
    if block.projection:
        yield "pool_proj", (block.projection, inputs, 1, 1)


def _head(spec: ModelSpec) -> Iterator[TensorInfo]:
    head = spec.head
    if head.consensus == "average":
        yield from _linear("head.fc", spec.feature_width, spec.num_classes)
        return
    yield from _linear("head.fc", spec.feature_width, head.relation_width)
    for i, frames in enumerate(head.scales(spec.num_segments)):
        relation = f"head.relations.{i}"
        yield from _linear(f"{relation}.hidden", frames * head.relation_width, head.relation_hidden_width)
        yield from _linear(f"{relation}.classifier", head.relation_hidden_width, spec.num_classes)
