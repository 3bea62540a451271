"""ImageNet weights of timm, MindCV and PaddleClas, where they are named unlike torchvision's.

timm's ResNets have torchvision's names. PaddleClas' MobileNets and PP-LCNetV2 are other networks, see `pptsm_mobile`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import accumulate

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import (
    IMAGENET_RESNETS,
    MINDSPORE_NORM,
    PADDLE_NORM,
    Dialect,
    Names,
    rewrite,
    unshifted_image_model,
)
from trishift.model.backbones.resnet import RESNETS
from trishift.model.spec import ModelSpec

_STAGES = (1, 2, 3, 4, 3, 3, 1)  # blocks per stage of MobileNetV2
_FIRST = 1  # the block without an expansion
_LAST = sum(_STAGES) + 1  # the convolution after the blocks


class _ImageClassifier(Dialect):
    label_lists: tuple[str, ...] = ()

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Describe an image classifier."""
        return unshifted_image_model(model, answers)


def _inverted_residual(layer: str) -> tuple[int, int, bool] | None:
    """Block, convolution in the block (all have a norm), and whether the layer is that norm; None: not in a block."""
    match = re.match(r"backbone\.features\.(\d+)\.conv\.(\d)(?:\.(\d))?$", layer)
    if match is None:
        return None
    block, place, inner = int(match[1]), int(match[2]), match[3]
    if inner is not None:
        return block, place, inner == "1"
    linear = 1 if block == _FIRST else 2
    return block, linear, place > linear


class TimmMobileNet(_ImageClassifier):
    """`conv_stem.weight`, `blocks.1.0.conv_pw.weight`, `blocks.1.0.bn3.weight`, `conv_head.weight`, `classifier`."""

    name = "timm"
    title = "timm MobileNetV2"
    backbones: tuple[str, ...] = ("mobilenet_v2",)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """The convolutions of a block are named by their kind, its norms by their number."""
        if layer == "head.fc":
            return ("classifier",)
        found = _inverted_residual(layer)
        if found is None:
            rules = (
                (r"backbone\.features\.0\.0", "conv_stem"),
                (r"backbone\.features\.0\.1", "bn1"),
                (rf"backbone\.features\.{_LAST}\.0", "conv_head"),
                (rf"backbone\.features\.{_LAST}\.1", "bn2"),
            )
            return (rewrite(layer, rules),)
        block, place, is_norm = found
        kinds = ("conv_dw", "conv_pw") if block == _FIRST else ("conv_pw", "conv_dw", "conv_pwl")
        ends = list(accumulate(_STAGES))
        stage = next(number for number, end in enumerate(ends) if block <= end)
        index = block - 1 - (ends[stage] - _STAGES[stage])
        return (f"blocks.{stage}.{index}.{f'bn{place + 1}' if is_norm else kinds[place]}",)


class MindCV(_ImageClassifier):
    """`layer1.0.down_sample.0.weight`, `features.4.layers.0.weight`, `classifier.1.weight`, `bn1.gamma`."""

    name = "mindcv"
    title = "MindCV image classifier"
    framework = "mindspore"
    backbones: tuple[str, ...] = (*IMAGENET_RESNETS, "mobilenet_v2")
    norm_roles = MINDSPORE_NORM

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """`downsample` is `down_sample`; activations count in the flat lists of MobileNetV2."""
        if layer == "head.fc":
            return ("classifier.1",) if spec.backbone == "mobilenet_v2" else ("classifier",)
        if spec.backbone != "mobilenet_v2":
            rules = ((r"backbone\.(.*)downsample(.*)", r"\1down_sample\2"), (r"backbone\.(.*)", r"\1"))
            return (rewrite(layer, rules),)
        found = _inverted_residual(layer)
        if found is not None:
            block, place, is_norm = found
            return (f"features.{block + 2}.layers.{3 * place + is_norm}",)
        match = re.match(r"backbone\.features\.(\d+)\.(\d)$", layer)
        assert match is not None, layer
        return (f"features.{int(match[2]) + (_LAST + 2 if int(match[1]) else 0)}",)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """ResNets pool at other places."""
        if model.backbone != "mobilenet_v2":
            answers.notes.append("the original's max pooling pads at the right and bottom: logits differ slightly")
        return super().describe(model, names, answers)


class PaddleClas(_ImageClassifier):
    """`stem.0.conv.weight`, `blocks.0.conv0.bn._mean`, `blocks.0.short.conv.weight`, `fc.weight` (in, out)."""

    name = "paddleclas"
    title = "PaddleClas ResNet"
    framework = "paddle"
    norm_roles: Mapping[str, str] = PADDLE_NORM
    transposes_linear = True

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """One list of blocks; the variants `vd` have three convolutions in the stem and are other networks."""
        return any("stem.0.conv.weight" in name for name in names) and not any("stem.2." in name for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """Blocks are numbered through; conv1..3 are conv0..2, `downsample` is `short`."""
        if layer == "head.fc":
            return ("fc",)
        match = re.match(r"^backbone\.layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)$", layer)
        if match is None:
            return (f"stem.0.{'bn' if layer.endswith('bn1') else 'conv'}",)
        stage, index, kind, number = int(match[1]), int(match[2]), match[3], int(match[4])
        block = sum(RESNETS[spec.backbone].depths[: stage - 1]) + index
        shortcut = kind == "downsample."
        is_norm = number == 1 if shortcut else kind == "bn"
        return (f"blocks.{block}.{'short' if shortcut else f'conv{number - 1}'}.{'bn' if is_norm else 'conv'}",)
