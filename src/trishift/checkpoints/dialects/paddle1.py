"""Paddle 1.x (fluid) TSM, TSN and ResNet50_pretrained: one file per variable, or one `.pdparams`.

Its TSM shifts with Paddle's operator (first fold from the past) at a ratio of 1/8. TSM, TSN and the image classifier
have the same names; the classifier has 1000 classes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import (
    IMAGENET_RESNETS,
    Dialect,
    Names,
    ask_segments,
    ask_shift,
    every_branch,
    unshifted_image_model,
)
from trishift.checkpoints.dialects.paddlevideo import lettered_block
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo

_NORM = {"weight": "scale", "bias": "offset", "running_mean": "mean", "running_var": "variance"}
_IMAGENET_CLASSES = 1000


class PaddleFluid(Dialect):
    """`res2a_branch2a_weights`, `bn2a_branch2a_scale`, `fc_0.w_0` (in, out)."""

    name = "paddle1"
    title = "Paddle 1.x (TSM, TSN, ResNet50_pretrained)"
    framework = "paddle"
    backbones: tuple[str, ...] = tuple(name for name in IMAGENET_RESNETS if name not in ("resnet18", "resnet34"))
    transposes_linear = True

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """Variables are named after branches."""
        return any(re.match(r"res\d\w+_branch", name) for name in names)

    def spellings(self, tensor: TensorInfo, spec: ModelSpec) -> tuple[str, ...]:
        """Roles are suffixes of variables, not attributes of layers."""
        if tensor.layer_name == "head.fc":
            return ("fc_0.w_0", "fc_0.weight") if tensor.role == "weight" else ("fc_0.b_0", "fc_0.bias")
        role = _NORM[tensor.role] if tensor.layer == "norm" else "weights"
        match = re.match(r"^backbone\.layer(\d)\.(\d+)\.(?:conv|bn|downsample\.)(\d)$", tensor.layer_name)
        if match is None:
            return (f"{'bn_conv1' if tensor.layer == 'norm' else 'conv1'}_{role}",)
        block = lettered_block(int(match[1]), int(match[2]), spec.backbone)
        branch = "1" if "downsample" in tensor.name else "2" + "abc"[int(match[3]) - 1]
        return (f"{'bn' if tensor.layer == 'norm' else 'res'}{block}_branch{branch}_{role}",)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Assume ImageNet for 1000 classes; otherwise ask for T and for TSM or TSN."""
        if model.num_classes in (0, _IMAGENET_CLASSES) and answers.given("shift") is None:
            return unshifted_image_model(model, answers)
        segments = ask_segments(answers, model)
        div = int(answers.assume("shift_div", 8))
        shift = ask_shift(answers, every_branch(model.backbone), div=div, order="past_first")
        return replace(model, num_segments=segments, shift=shift)

    def useless(self, name: str) -> str | None:
        """Skip optimizer state, which is stored beside the weights."""
        if name in ("learning_rate", "@LR_DECAY_COUNTER@") or re.match(r"learning_rate_\d+$", name):
            return "optimizer state"
        return super().useless(name)
