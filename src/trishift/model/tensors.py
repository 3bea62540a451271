"""The tensor table of a model: one row per tensor, in network order, made without building a network.

Initialization, parameter groups, fine-tuning, importers and converters read it, and the backends pair each row with
one of their own tensors. Tests compare it with each backend's network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from trishift.model.architectures import (
    BN_INCEPTION_BLOCKS,
    BN_INCEPTION_STEM_WIDTH,
    INCEPTION_LAYERS,
    MOBILENET_V2_LAST_WIDTH,
    MOBILENET_V2_STEM_WIDTH,
    RESNETS,
    InceptionBlock,
    ResidualBlock,
    inverted_residuals,
    residual_blocks,
)
from trishift.model.inception_v3 import inception_v3_layers
from trishift.model.mobile import ATTENDED_STAGE, MOBILES, SQUEEZE, MobileBlock
from trishift.model.motion import DIFFERENCE_REDUCTION, MOTION_FRAMES, MOTION_REDUCTION
from trishift.model.spec import ModelSpec, NonLocalForm, Shape

Layer = Literal["conv", "linear", "norm"]
Role = Literal["weight", "bias", "running_mean", "running_var"]
Initializer = Literal["he_normal", "fan_in_uniform", "classifier", "zeros", "ones", "shift", "offset"]
Group = Literal["first_conv_weight", "first_conv_bias", "weight", "bias", "norm", "head_weight", "head_bias"]
ModelPart = Literal["backbone", "non_local", "motion", "deformable", "attention", "head"]
Tensors = dict[str, np.ndarray]  # by canonical name
Rows = Iterator["TensorInfo"]


@dataclass(frozen=True)
class TensorInfo:
    """One row of the table.

    Attributes:
        layer_name: canonical name of the layer that owns the tensor, `backbone.layer1.0.conv1`.
        role: `weight` (kernel, matrix, scale of a norm), `bias` (including the shift of a norm) or a running statistic.
        shape: canonical shape (PyTorch's layout).
        layer: type of the layer.
        initializer: initialization of an untrained tensor, see `initialization.py`.
        group: parameter group, see `parameter_groups.py`; None for running statistics, which are not optimized.
        part: the part of the network it belongs to. `backbone`: shared with image classifiers. `non_local`, `motion`,
            `attention`: added by these options. `deformable`: kernels and biases of MSN's deformable convolutions.
            `head`: the rest.
        module: path of the layer in each backend's network. It differs from `layer_name` only in BNInception, whose
            published names are flat.
        image_tensor: the image classifier's tensor that this one is initialized from, if its name differs (the
            second `layer1` of MSN and TDN), or if its channels do, which each get the mean over the colors then (TDN).
        per_class: whether the first axis is the class axis.
    """

    layer_name: str
    role: Role
    shape: Shape
    layer: Layer
    initializer: Initializer
    group: Group | None
    part: ModelPart
    module: str
    image_tensor: str | None = None
    per_class: bool = False

    @property
    def name(self) -> str:
        """Canonical name of the tensor, `backbone.layer1.0.conv1.weight`."""
        return f"{self.layer_name}.{self.role}"

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change it."""
        return self.group is not None


@lru_cache(maxsize=64)
def tensor_table(spec: ModelSpec) -> tuple[TensorInfo, ...]:
    """Every tensor of a model in network order; without a head if `num_classes` is 0."""
    if spec.backbone in RESNETS:
        backbone = _resnet(spec)
    elif spec.backbone == "mobilenet_v2":
        backbone = _mobilenet_v2(spec)
    elif spec.backbone in MOBILES:
        backbone = _mobile(spec)
    elif spec.backbone == "inception_v3":
        backbone = _inception_v3(spec)
    else:
        backbone = _bn_inception(spec)
    return (*backbone, *(_in_part("head", _head(spec)) if spec.num_classes else ()))


def parameters(spec: ModelSpec) -> tuple[TensorInfo, ...]:
    """Every trainable tensor of a model in network order."""
    return tuple(info for info in tensor_table(spec) if info.trainable)


def tensor_shapes(spec: ModelSpec) -> dict[str, Shape]:
    """Canonical name to canonical shape of every tensor of a model, in network order."""
    return {info.name: info.shape for info in tensor_table(spec)}


def stem(spec: ModelSpec) -> TensorInfo:
    """The kernel of the first convolution."""
    return next(info for info in tensor_table(spec) if info.group == "first_conv_weight")


# Layers


def _row(
    layer_name: str, role: Role, shape: Shape, layer: Layer, initializer: Initializer, group: Group | None
) -> TensorInfo:
    return TensorInfo(layer_name, role, shape, layer, initializer, group, "backbone", layer_name)


def _conv(
    name: str, shape: Shape, start: Initializer = "he_normal", bias: Initializer | None = None, *, first: bool = False
) -> Rows:
    """A convolution; `bias` is the initializer of its bias, if it has one."""
    yield _row(name, "weight", shape, "conv", start, "first_conv_weight" if first else "weight")
    if bias:
        yield _row(name, "bias", shape[:1], "conv", bias, "first_conv_bias" if first else "bias")


def _norm(name: str, channels: int, scale: Initializer = "ones") -> Rows:
    yield _row(name, "weight", (channels,), "norm", scale, "norm")
    yield _row(name, "bias", (channels,), "norm", "zeros", "norm")
    yield _row(name, "running_mean", (channels,), "norm", "zeros", None)
    yield _row(name, "running_var", (channels,), "norm", "ones", None)


def _linear(name: str, inputs: int, outputs: int, start: Initializer, bias: Initializer) -> Rows:
    yield _row(name, "weight", (outputs, inputs), "linear", start, "head_weight")
    yield _row(name, "bias", (outputs,), "linear", bias, "head_bias")


def _in_part(part: ModelPart, rows: Rows) -> Rows:
    """Assign rows to a part, except those already assigned to a nested part."""
    return (replace(row, part=part) if row.part == "backbone" else row for row in rows)


# ResNet


def _resnet(spec: ModelSpec) -> Rows:
    blocks = residual_blocks(spec.backbone, spec.width)
    if RESNETS[spec.backbone].vd:
        half = spec.width // 2
        yield from _resnet_conv("backbone.conv1.0", (half, spec.frame_channels, 3, 3), spec, first=True)
        yield from _norm("backbone.conv1.1", half)
        yield from _resnet_conv("backbone.conv1.3", (half, half, 3, 3), spec)
        yield from _norm("backbone.conv1.4", half)
        yield from _resnet_conv("backbone.conv1.6", (spec.width, half, 3, 3), spec)
    else:
        yield from _resnet_conv("backbone.conv1", (spec.width, spec.frame_channels, 7, 7), spec, first=True)
    yield from _norm("backbone.bn1", spec.width)
    for block in blocks:
        yield from _residual_block(block, spec)
    if spec.motion:
        motion_map = _motion_pyramid if spec.motion.kind == "msn" else _short_term
        yield from _in_part("motion", motion_map(spec))
        for block in blocks:
            if block.stage == 1:
                yield from _motion_block(block, spec)


def _resnet_conv(name: str, shape: Shape, spec: ModelSpec, *, first: bool = False) -> Rows:
    """A convolution of a ResNet; only MSN and TDN add a bias."""
    kernel, bias = _conv(name, shape, bias="zeros", first=first)
    yield kernel
    if spec.motion:
        yield replace(bias, part="motion")


def _residual_block(block: ResidualBlock, spec: ModelSpec) -> Rows:
    name, inputs, width, outputs = f"backbone.{block.name}", block.in_channels, block.width, block.channels
    if RESNETS[spec.backbone].block == "basic":
        kernels = [(width, inputs, 3, 3), (width, width, 3, 3)]
    else:
        kernels = [(width, inputs, 1, 1), (width, width, 3, 3), (outputs, width, 1, 1)]
    for k, kernel in enumerate(kernels, 1):
        yield from _resnet_conv(f"{name}.conv{k}", kernel, spec)
        yield from _norm(f"{name}.bn{k}", kernel[0])
    if block.has_projection:
        place = int(block.vd)  # after the pooling, which has no tensors
        yield from _resnet_conv(f"{name}.downsample.{place}", (outputs, inputs, 1, 1), spec)
        yield from _norm(f"{name}.downsample.{place + 1}", outputs)
    if block.name in spec.non_local_blocks:
        yield from _in_part("non_local", _non_local(f"{name}.non_local", outputs, spec.non_local_form))
    if spec.motion and block.stage > 1:
        excitation = _motion_excitation if spec.motion.kind == "msn" else _long_term
        yield from _in_part("motion", excitation(f"{name}.excitation", width))
        yield from _in_part("motion", _conv(f"{name}.learned_shift", (width, 1, 3), "shift"))


def _non_local(name: str, channels: int, form: NonLocalForm) -> Rows:
    """A non-local block, whose norm scale starts at zero so that it starts as the identity."""
    for projection in ("g",) if form == "gaussian" else ("theta", "phi", "g"):
        yield from _conv(f"{name}.{projection}", (channels // 2, channels, 1, 1), bias="zeros")
    if form == "concatenation":
        yield from _conv(f"{name}.pair", (1, channels // 2 * 2, 1, 1))
    yield from _conv(f"{name}.out", (channels, channels // 2, 1, 1), bias="zeros")
    yield from _norm(f"{name}.bn", channels, scale="zeros")


# MSN and TDN


def _motion_block(block: ResidualBlock, spec: ModelSpec) -> Rows:
    """The copy of a block that processes the motion map; it is initialized from the original block."""
    originals = _residual_block(block, spec)
    copies = _residual_block(replace(block, name=f"motion_{block.name}"), spec)
    for copy, original in zip(copies, originals, strict=True):
        yield replace(copy, image_tensor=original.name)


def _motion_pyramid(spec: ModelSpec) -> Rows:
    name, width, inner = "backbone.pyramid", spec.width, spec.width // MOTION_REDUCTION
    yield from _conv(f"{name}.conv1", (inner, spec.frame_channels, 7, 7), "fan_in_uniform")
    yield from _conv(f"{name}.conv2", (width, inner, 5, 5), "fan_in_uniform")
    yield from _conv(f"{name}.pixel_conv", (width, spec.in_channels - spec.frame_channels, 7, 7), "fan_in_uniform")
    yield from _norm(f"{name}.pixel_bn", width)
    yield from _conv(f"{name}.feature_conv", (width, 2 * inner, 5, 5), "fan_in_uniform")
    yield from _norm(f"{name}.feature_bn", width)


def _motion_excitation(name: str, channels: int) -> Rows:
    inner = channels // MOTION_REDUCTION
    yield from _conv(f"{name}.reduce", (inner, channels, 1, 1), bias="zeros")
    yield from _norm(f"{name}.reduce_bn", inner)
    for k in (3, 5):
        deformable = _conv(f"{name}.deformable{k}", (inner, inner, k, k), "fan_in_uniform", bias="fan_in_uniform")
        yield from _in_part("deformable", deformable)
        yield from _conv(f"{name}.deformable{k}.offset", (2 * k * k, inner, k, k), "offset", bias="zeros")
    yield from _conv(f"{name}.pooled", (inner, inner, 1, 1), bias="zeros")
    yield from _norm(f"{name}.pooled_bn", inner)
    yield from _conv(f"{name}.temporal", (inner, inner, 3, 3, 3), "fan_in_uniform", bias="fan_in_uniform")
    yield from _norm(f"{name}.temporal_bn", inner)
    yield from _conv(f"{name}.expand", (channels, inner, 1, 1), bias="zeros")
    yield from _norm(f"{name}.expand_bn", channels)


def _short_term(spec: ModelSpec) -> Rows:
    name, differences = "backbone.short_term", (MOTION_FRAMES - 1) * spec.frame_channels
    for row in _conv(f"{name}.conv", (spec.width, differences, 7, 7)):
        yield replace(row, image_tensor="backbone.conv1.weight")
    yield from _norm(f"{name}.bn", spec.width)


def _long_term(name: str, channels: int) -> Rows:
    inner = channels // DIFFERENCE_REDUCTION
    yield from _conv(f"{name}.reduce", (inner, channels, 1, 1))
    yield from _norm(f"{name}.reduce_bn", inner)
    yield from _conv(f"{name}.depthwise", (inner, 1, 3, 3))
    for scale in ("pooled", "whole"):
        yield from _conv(f"{name}.{scale}", (inner, inner, 3, 3))
        yield from _norm(f"{name}.{scale}_bn", inner)
    yield from _conv(f"{name}.expand", (channels, inner, 1, 1))
    yield from _norm(f"{name}.expand_bn", channels)


# MobileNetV2


def _mobilenet_v2(spec: ModelSpec) -> Rows:
    yield from _conv("backbone.features.0.0", (MOBILENET_V2_STEM_WIDTH, spec.in_channels, 3, 3), first=True)
    yield from _norm("backbone.features.0.1", MOBILENET_V2_STEM_WIDTH)
    channels = MOBILENET_V2_STEM_WIDTH
    for block in inverted_residuals():
        name = f"backbone.{block.name}.conv"
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


# Mobile networks


def _mobile(spec: ModelSpec) -> Rows:
    network = MOBILES[spec.backbone]
    yield from _mobile_conv("backbone.first", (network.first, spec.in_channels, 3, 3), first=True)
    for block in network.blocks:
        if spec.temporal_attention and (block.stage, block.index) == (ATTENDED_STAGE, 0):
            segments = spec.num_segments
            attention = _linear("backbone.attention.fc", segments, segments, "classifier", "zeros")
            yield from _in_part("attention", attention)
        yield from _mobile_block(block)
    channels = network.blocks[-1].channels
    if network.last:
        yield from _mobile_conv("backbone.last", (network.last, channels, 1, 1))
        channels = network.last
    if network.widen:
        yield from _conv("backbone.widen", (network.widen, channels, 1, 1))


def _mobile_block(block: MobileBlock) -> Rows:
    name, hidden = f"backbone.{block.name}", block.hidden
    if block.expanded:
        yield from _mobile_conv(f"{name}.expand", (hidden, block.in_channels, 1, 1))
    for k, size in enumerate(block.kernels):
        yield from _mobile_conv(f"{name}.depthwise.{k}", (hidden, 1, size, size))
    if block.squeezes:
        yield from _conv(f"{name}.squeeze.reduce", (hidden // SQUEEZE, hidden, 1, 1), bias="zeros")
        yield from _conv(f"{name}.squeeze.expand", (hidden, hidden // SQUEEZE, 1, 1), bias="zeros")
    for k, (inputs, outputs) in enumerate(pairwise((hidden, *block.pointwise))):
        yield from _mobile_conv(f"{name}.pointwise.{k}", (outputs, inputs, 1, 1))


def _mobile_conv(name: str, shape: Shape, *, first: bool = False) -> Rows:
    yield from _conv(f"{name}.conv", shape, first=first)
    yield from _norm(f"{name}.bn", shape[0])


# BNInception


def _bn_inception(spec: ModelSpec) -> Rows:
    width, block_input = BN_INCEPTION_STEM_WIDTH, BN_INCEPTION_BLOCKS[0].in_channels
    yield from _inception_layer("conv1_7x7_s2", "conv1_7x7_s2", (width, spec.in_channels, 7, 7), first=True)
    yield from _inception_layer("conv2_3x3_reduce", "conv2_3x3_reduce", (width, width, 1, 1))
    yield from _inception_layer("conv2_3x3", "conv2_3x3", (block_input, width, 3, 3))
    for block in BN_INCEPTION_BLOCKS:
        for branch, shape in _inception_branches(block):
            yield from _inception_layer(f"{block.name}_{INCEPTION_LAYERS[branch]}", f"{block.name}.{branch}", shape)


def _inception_layer(name: str, module: str, shape: Shape, *, first: bool = False) -> Rows:
    """A convolution and its norm: their flat Caffe name and the module path in the backends."""
    for row in _conv(f"backbone.{name}", shape, bias="zeros", first=first):
        yield replace(row, module=f"backbone.{module}.conv")
    for row in _norm(f"backbone.{name}_bn", shape[0]):
        yield replace(row, module=f"backbone.{module}.bn")


def _inception_branches(block: InceptionBlock) -> Iterator[tuple[str, Shape]]:
    inputs, (three, double) = block.in_channels, (block.three, block.double)
    if block.one:
        yield "one", (block.one, inputs, 1, 1)
    yield "three_reduce", (three[0], inputs, 1, 1)
    yield "three", (three[1], three[0], 3, 3)
    yield "double_reduce", (double[0], inputs, 1, 1)
    yield "double_1", (double[1], double[0], 3, 3)
    yield "double_2", (double[2], double[1], 3, 3)
    if block.projection:
        yield "projection", (block.projection, inputs, 1, 1)


# InceptionV3


def _inception_v3(spec: ModelSpec) -> Rows:
    for i, (name, _, layer) in enumerate(inception_v3_layers()):
        inputs = layer.in_channels if i else spec.in_channels
        shape = (layer.channels, inputs, *layer.kernel)
        yield from _conv(f"backbone.{name}.conv", shape, bias="zeros", first=not i)
        yield from _norm(f"backbone.{name}.bn", layer.channels)


# Heads


def _head(spec: ModelSpec) -> Rows:
    head = spec.head
    average = head.consensus == "average"
    outputs = spec.num_classes if average else head.relation_width
    yield from _per_class(_linear("head.fc", spec.feature_width, outputs, "classifier", "zeros"), average)
    for i, frames in enumerate(head.scales(spec.num_segments)):
        relation, inputs, hidden = f"head.relations.{i}", frames * head.relation_width, head.relation_hidden_width
        yield from _linear(f"{relation}.hidden", inputs, hidden, "fan_in_uniform", "fan_in_uniform")
        yield from _per_class(
            _linear(f"{relation}.classifier", hidden, spec.num_classes, "fan_in_uniform", "fan_in_uniform")
        )


def _per_class(rows: Rows, applies: bool = True) -> Rows:
    return (replace(row, per_class=applies) for row in rows)
