"""TRN-pytorch: single and multi-scale temporal relation networks, and its TSN with average consensus."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import IMAGENET_RESNETS, Dialect, Names, ask_segments
from trishift.checkpoints.dialects.bn_inception import caffe_layer
from trishift.checkpoints.dialects.relation_head import relation_layer, with_relation_head
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo


class TemporalRelationNetwork(Dialect):
    """`module.base_model.*`, `module.new_fc.*` (the per-frame projection), `module.consensus.*`."""

    name = "trn"
    title = "TRN-pytorch"
    backbones: tuple[str, ...] = ("bn_inception", "inception_v3", *IMAGENET_RESNETS)
    container: str | None = "state_dict"
    prefix = "module."
    wrappers = ("module", "base_model")

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """Has a relation head."""
        return any("consensus." in name for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """Relations are under `consensus`."""
        if layer == "head.fc":
            return ("new_fc",)
        return (relation_layer(layer, spec) or caffe_layer(layer),)

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Add `base_model.`."""
        return self.prefix + ("" if tensor.part == "head" else "base_model.") + name

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Infer T from the relations."""
        model = with_relation_head(model, names.shapes)
        return replace(model, num_segments=ask_segments(answers, model), shift=None)
