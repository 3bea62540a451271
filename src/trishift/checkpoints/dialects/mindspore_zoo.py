"""The MindSpore model zoo's video networks (research/cv/trn, tsm and tsn) and the ImageNet weights they start from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import (
    MINDSPORE_NORM,
    Dialect,
    Names,
    ask_segments,
    rewrite,
    unshifted_image_model,
)
from trishift.checkpoints.dialects.relation_head import relation_layer, with_relation_head
from trishift.checkpoints.dialects.wrappers import describe_wrapped
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo


class _MindSporeZoo(Dialect):
    """Common base of the three."""

    framework = "mindspore"
    norm_roles = MINDSPORE_NORM
    wrappers = ("base_model", "net")  # `base_model` is present or not, depending on assignment order

    def useless(self, name: str) -> str | None:
        """Skip counters and hyper-parameters that MindSpore saves as parameters."""
        if re.search(r"(^|\.)(global_step|learning_rate|momentum|epoch_num|step_num|stat\..*|accum\..*)$", name):
            return "optimizer state"
        return super().useless(name)


class MindSporeTRN(_MindSporeZoo):
    """`base_model.inception_3a.branch_1x1.bn.gamma`, `base_model.fc` (the projection), `consensus.*`.

    Without `consensus` it is the BNInception used as initial weights.
    """

    name = "mindspore_trn"
    title = "MindSpore zoo TRN (BNInception)"
    backbones: tuple[str, ...] = ("bn_inception",)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """Layer, followed by `conv` or `bn`."""
        if layer == "head.fc":
            return ("fc",)
        if relation := relation_layer(layer, spec):
            return (relation,)
        rules = (
            (r"backbone\.(inception_\w\w)_(.*)_bn", r"\1.branch_\2.bn"),
            (r"backbone\.(inception_\w\w)_(.*)", r"\1.branch_\2.conv"),
            (r"backbone\.(.*)_bn", r"\1.bn"),
            (r"backbone\.(.*)", r"\1.conv"),
        )
        return (rewrite(layer, rules),)

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """The projection is part of the base model."""
        return name if name.startswith("consensus.") or spec.head.consensus == "average" else f"base_model.{name}"

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Infer T from the relations."""
        if not names.any(r"^consensus\."):
            return unshifted_image_model(model, answers)
        model = with_relation_head(model, names.shapes)
        return replace(model, num_segments=ask_segments(answers, model), shift=None)


class MindSporeTSM(_MindSporeZoo):
    """`layer1.0.conv1.net.weight`, `layer1.0.down_sample_layer.1.gamma`, `new_fc`; `end_point` in ImageNet weights."""

    name = "mindspore_tsm"
    title = "MindSpore zoo TSM and ResNet"
    backbones: tuple[str, ...] = ("resnet50", "resnet101", "resnet152", "resnet18", "resnet34")

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """`downsample` is `down_sample_layer`."""
        if layer == "head.fc":
            return ("new_fc", "end_point")
        return (
            rewrite(layer, ((r"backbone\.(.*)downsample(.*)", r"\1down_sample_layer\2"), (r"backbone\.(.*)", r"\1"))),
        )

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Only the stem has `base_model.`."""
        if re.match(r"(conv1|bn1)\.", name):
            return f"base_model.{name}"
        block = ".".join(name.split(".")[:2])
        return name.replace(".conv1.weight", ".conv1.net.weight") if block in spec.shifted_blocks else name

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Infer the placement from `.net.`; `end_point` is ImageNet's classifier."""
        if names.any(r"^end_point\.") and not names.any(r"\.net\."):
            return unshifted_image_model(model, answers)
        return describe_wrapped(model, names, answers, {r"layer(\d)\.(\d+)\.conv1\.net\.": r"layer\1.\2"})


class MindSporeTSN(_MindSporeZoo):
    """`base_model.inception_3a.inception_3a_1x1.bn.gamma`, `base_model.fc.new_fc`; RGB, flow or differences.

    Unlike all others, its average pooling excludes padding from the mean, so its logits differ slightly.
    """

    name = "mindspore_tsn"
    title = "MindSpore zoo TSN (BNInception)"
    backbones: tuple[str, ...] = ("bn_inception",)

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """The stem's name is doubled."""
        return any("conv1_7x7_s2.conv1_7x7_s2." in name for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """The stem is named unlike the other layers."""
        rules = (
            (r"head\.fc", r"fc.new_fc"),
            (r"backbone\.(conv1_7x7_s2_bn)", r"\1"),
            (r"backbone\.(conv1_7x7_s2)", r"\1.\1"),
            (r"backbone\.((inception_\w\w)_.*)_bn", r"\2.\1.bn"),
            (r"backbone\.((inception_\w\w)_.*)", r"\2.\1.conv"),
            (r"backbone\.(.*)_bn", r"\1.bn"),
            (r"backbone\.(.*)", r"\1.conv"),
        )
        return (rewrite(layer, rules),)

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Everything is part of the base model."""
        return f"base_model.{name}"

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Describe a TSN; ask for T."""
        answers.notes.append("the original's average pooling excludes padding: logits differ slightly")
        return replace(model, num_segments=ask_segments(answers, model), shift=None)
