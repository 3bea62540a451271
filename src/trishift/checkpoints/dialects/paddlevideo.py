"""PaddleVideo (TSM, TSN on ResNet): `.pdparams` with `_conv`/`_batch_norm` pairs and lettered blocks.

Its temporal shift is Paddle's operator: the first fold comes from the past (the original's from the future), and the
ratio is 1 / num_segments. It shifts every bottleneck, also in deep ResNets. TSM and TSN have the same names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import (
    IMAGENET_RESNETS,
    PADDLE_NORM,
    Dialect,
    Names,
    ask_segments,
    ask_shift,
    every_branch,
    share_of_segments,
    unshifted_image_model,
)
from trishift.model.backbones.resnet import RESNETS
from trishift.model.spec import ModelSpec


def lettered_block(stage: int, index: int, backbone: str) -> str:
    """Return Paddle's name of a residual block: stages from 2, blocks a, b, c; a, b1, b2 in long third stages."""
    if stage == 3 and RESNETS[backbone].depths[2] >= 23 and index:
        return f"{stage + 1}b{index}"
    return f"{stage + 1}{chr(ord('a') + index)}"


class PaddleVideo(Dialect):
    """`backbone.res2a.conv0._conv.weight`, `backbone.res2a.short._batch_norm._mean`, `head.fc.weight` (in, out)."""

    name = "paddlevideo"
    title = "PaddleVideo (TSM, TSN)"
    framework = "paddle"
    backbones: tuple[str, ...] = IMAGENET_RESNETS
    norm_roles = PADDLE_NORM
    transposes_linear = True

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """Conv and norm pairs, with or without `backbone.` (ImageNet weights)."""
        return any("._conv.weight" in name for name in names)

    def simplify(self, name: str) -> str:
        """Strip `backbone.`, which is called `0.` beside a student."""
        return re.sub(r"^(backbone|0)\.", "", name)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """conv1..3 are conv0..2, `downsample` is `short`."""
        if layer == "head.fc":
            return ("head.fc", "fc", "out", "1.fc")
        part = "_batch_norm" if re.search(r"(bn\d|downsample\.1)$", layer) else "_conv"
        match = re.match(r"^backbone\.layer(\d)\.(\d+)\.(?:conv|bn|downsample\.)(\d)$", layer)
        if match is None:
            return (f"conv.{part}",)
        block = lettered_block(int(match[1]), int(match[2]), spec.backbone)
        place = "short" if "downsample" in layer else f"conv{int(match[3]) - 1}"
        return (f"res{block}.{place}.{part}",)

    def wrap(self, name: str, tensor: object, spec: ModelSpec) -> str:
        """Add `backbone.`."""
        return name if name.startswith("head.") else f"backbone.{name}"

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Ask for T and for TSM or TSN; T determines the ratio."""
        if not names.any(r"^backbone\."):
            return unshifted_image_model(model, answers)
        segments = ask_segments(answers, model)
        shift = ask_shift(answers, every_branch(model.backbone), order="past_first")
        if shift:
            shift = replace(shift, div=share_of_segments(answers, segments))
        return replace(model, num_segments=segments, shift=shift)
