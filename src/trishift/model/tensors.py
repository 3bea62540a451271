"""The tensor table of a model: one row per tensor, in network order, made without building a network.

Initialization, parameter groups, fine-tuning, importers and converters read it, and the backends pair each row with
one of their own tensors. Tests compare it with each backend's network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import comb
from typing import Literal

import numpy as np

from trishift.model.backbones import BACKBONES, layout
from trishift.model.layers import Initializer, Kind, Layer, Layers, Maps, ModelPart, Shape, changed, in_part, linear
from trishift.model.spec import ModelSpec

Role = Literal["weight", "bias", "running_mean", "running_var"]
Group = Literal["first_conv_weight", "first_conv_bias", "weight", "bias", "norm", "head_weight", "head_bias"]
Tensors = dict[str, np.ndarray]  # by canonical name
HEAD = "head"  # its stage
_RELATION_START: Initializer = "fan_in_uniform"


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
        stage: name of the stage, see `stages`.
        image_tensor: the image classifier's tensor that this one is initialized from, if its name differs (the
            second `layer1` of MSN and TDN), or if its channels do, which each get the mean over the colors then (TDN).
        per_class: whether the first axis is the class axis.
    """

    layer_name: str
    role: Role
    shape: Shape
    layer: Kind
    initializer: Initializer
    group: Group | None
    part: ModelPart
    module: str
    stage: str
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
    stage_of = BACKBONES[spec.backbone].stage_of
    backbone = (info for layer in layout(spec).layers for info in _rows(layer, "backbone", stage_of(layer.name)))
    return (*backbone, *(info for layer in head_layers(spec) for info in _rows(layer, "head", HEAD)))


def parameters(spec: ModelSpec) -> tuple[TensorInfo, ...]:
    """Every trainable tensor of a model in network order."""
    return tuple(info for info in tensor_table(spec) if info.trainable)


def tensor_shapes(spec: ModelSpec) -> dict[str, Shape]:
    """Canonical name to canonical shape of every tensor of a model, in network order."""
    return {info.name: info.shape for info in tensor_table(spec)}


def stem(spec: ModelSpec) -> TensorInfo:
    """The kernel of the first convolution."""
    return next(info for info in tensor_table(spec) if info.group == "first_conv_weight")


def head_layers(spec: ModelSpec) -> tuple[Layer, ...]:
    """The layers of the head, in network order; none if `num_classes` is 0."""
    return tuple(in_part("head", _head(spec))) if spec.num_classes else ()


def _head(spec: ModelSpec) -> Layers:
    head, features = spec.head, Maps(spec.feature_width, (1, 1), spec.output_segments)
    average, start = head.consensus == "average", _RELATION_START
    fc = linear("fc", features, spec.num_classes if average else head.relation_width, "classifier", "zeros")
    x = yield from _per_class(fc) if average else fc
    for i, frames in enumerate(head.scales(spec.num_segments)):
        name = f"relations.{i}"
        times = min(comb(spec.num_segments, frames), spec.output_segments)  # per relation or, if fewer, per segment
        x = replace(features, channels=frames * head.relation_width, frames=times)
        x = yield from linear(f"{name}.hidden", x, head.relation_hidden_width, start, start)
        yield from _per_class(linear(f"{name}.classifier", replace(x, frames=1), spec.num_classes, start, start))
    return x


def _per_class(layers: Layers) -> Layers:
    return changed(layers, lambda layer: replace(layer, per_class=True))


def _rows(layer: Layer, place: str, stage: str) -> Iterator[TensorInfo]:
    """The tensors of a layer of the backbone or the head."""
    name, channels = f"{place}.{layer.name}", layer.shape[:1]
    tensors: list[tuple[Role, Shape, Initializer]] = [("weight", layer.shape, layer.start)]
    if layer.bias:
        tensors.append(("bias", channels, layer.bias))
    if layer.kind == "norm":
        tensors += [("running_mean", channels, "zeros"), ("running_var", channels, "ones")]
    for role, shape, initializer in tensors:
        yield TensorInfo(
            *(name, role, shape, layer.kind, initializer),
            group=_group(layer, role),
            part=layer.bias_part if role == "bias" and layer.bias_part else layer.part,
            module=f"{place}.{layer.module or layer.name}",
            stage=stage,
            image_tensor=layer.image_layer and f"{place}.{layer.image_layer}.{role}",
            per_class=layer.per_class,
        )


def _group(layer: Layer, role: Role) -> Group | None:
    if role in ("running_mean", "running_var"):
        return None
    if layer.kind == "norm":
        return "norm"
    if layer.kind == "linear":
        return "head_weight" if role == "weight" else "head_bias"
    if layer.first:
        return "first_conv_weight" if role == "weight" else "first_conv_bias"
    return "weight" if role == "weight" else "bias"
