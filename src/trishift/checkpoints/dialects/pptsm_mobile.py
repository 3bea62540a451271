"""PaddleVideo's PP-TSM on MobileNetV2 and MobileNetV3, and PP-TSMv2 (PP-LCNetV2): `.pdparams`.

Only the temporal attention of PP-TSMv2 shows T. Files of ImageNet classifiers have the same names without `backbone.`;
those of students start with `0.` instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import (
    PADDLE_NORM,
    Dialect,
    Names,
    Shape,
    share_of_segments,
    shifts,
    unshifted_image_model,
)
from trishift.errors import CheckpointError
from trishift.model.backbones.mobile import MOBILES, MobileBlock
from trishift.model.spec import ModelSpec, ShiftSpec

_HEADS = {"pp_mobilenet_v2": "out"}  # the others' are called `fc`
_MERGED = r"dw_conv\.(weight|bias)$"  # parallel kernels as one: made for exports, random in files of training


class PPTSMMobile(Dialect):
    """`backbone.blocks.0.mid_se.conv1.bias`, `backbone.stages.2.0.dw_conv_list.1.bn._mean`, `backbone.fc.weight`."""

    name = "pptsm_mobile"
    title = "PaddleVideo (PP-TSM on MobileNets, PP-TSMv2)"
    framework = "paddle"
    backbones: tuple[str, ...] = tuple(MOBILES)
    norm_roles = PADDLE_NORM
    transposes_linear = True

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """Depthwise convolutions under Paddle's names."""
        return any(re.search(r"bottleneck_conv\.|\.dw_conv", name) for name in names)

    def simplify(self, name: str) -> str:
        """Strip `backbone.`."""
        return re.sub(r"^(backbone|0)\.", "", name)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """The place of a layer in Paddle's lists of blocks."""
        if layer == "head.fc":
            return (_HEADS.get(spec.backbone, "fc"),)
        return (_layer_names(spec.backbone)[layer],)

    def wrap(self, name: str, tensor: object, spec: ModelSpec) -> str:
        """Add `backbone.`, also before the classifier."""
        return f"backbone.{name}"

    def fillers(self, spec: ModelSpec) -> Mapping[str, Shape]:
        """The merged kernels of parallel convolutions, which the original computes when it exports."""
        if spec.backbone != "pp_lcnet_v2":
            return {}
        shapes: dict[str, Shape] = {}
        for place, block in _lcnet_blocks():
            if len(block.kernels) > 1:
                size = max(block.kernels)
                shapes[f"backbone.{place}.dw_conv.weight"] = (block.hidden, 1, size, size)
                shapes[f"backbone.{place}.dw_conv.bias"] = (block.hidden,)
        return shapes

    def useless(self, name: str) -> str | None:
        """The merged kernels, which the network does not use before its export."""
        return "unused until the export" if re.search(_MERGED, name) else super().useless(name)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """T is that of the attention; else asked for (PP-TSMv2), or 8 (MobileNets), which the report says."""
        if names.any(_MERGED) and not names.any(r"\.dw_conv_list\."):
            raise CheckpointError(
                "parallel convolutions were merged for an export, which cannot be undone; use the file of the training"
            )
        model = replace(model, dropout=MOBILES[model.backbone].dropout)
        attention = names.shapes.get("global_attention.fc.bias")
        if attention is None and not names.any(r"^(backbone|0)\.") and answers.given("shift") in (None, "none"):
            return unshifted_image_model(model, answers)
        if attention is not None:
            segments = int(answers.confirm("num_segments", attention[0]))
        elif model.backbone == "pp_lcnet_v2":
            segments = int(answers.ask("num_segments", "the number of frames per clip, 8 or 16 in published weights"))
        else:
            segments = int(answers.assume("num_segments", 8))
        model = replace(model, num_segments=segments, temporal_attention=attention is not None)
        if not shifts(answers, answers.given("shift") or "blockres"):
            return model
        return replace(model, shift=ShiftSpec(share_of_segments(answers, segments), order="past_first"))


@cache
def _layer_names(backbone: str) -> Mapping[str, str]:
    """Canonical layers to Paddle's."""
    names = {
        "pp_mobilenet_v2": _mobilenet_v2_layers,
        "pp_mobilenet_v3": _mobilenet_v3_layers,
        "pp_lcnet_v2": _lcnet_layers,
    }[backbone]()
    return {f"backbone.{layer}": name for layer, name in names}


Pairs = Iterator[tuple[str, str]]


def _pair(layer: str, name: str, underscore: bool = False) -> Pairs:
    """A convolution and its norm."""
    yield f"{layer}.conv", f"{name}.{'_conv' if underscore else 'conv'}"
    yield f"{layer}.bn", f"{name}.{'_batch_norm' if underscore else 'bn'}"


def _mobilenet_v2_layers() -> Pairs:
    """Groups of blocks of equal width, `conv2` to `conv8`, whose first one is called so."""
    yield from _pair("first", "conv1", underscore=True)
    group, index = 1, 0
    for block in MOBILES["pp_mobilenet_v2"].blocks:
        group, index = (group, index + 1) if block.has_residual else (group + 1, 1)
        place = f"conv{group}." + ("_first_block" if index == 1 else f"conv{group}_{index}")
        for part, name in (("expand", "expand"), ("depthwise.0", "bottleneck"), ("pointwise.0", "linear")):
            yield from _pair(f"{block.name}.{part}", f"{place}._{name}_conv", underscore=True)
    yield from _pair("last", "conv9", underscore=True)


def _mobilenet_v3_layers() -> Pairs:
    yield from _pair("first", "conv")
    for number, block in enumerate(MOBILES["pp_mobilenet_v3"].blocks):
        for part, name in (("expand", "expand"), ("depthwise.0", "bottleneck"), ("pointwise.0", "linear")):
            yield from _pair(f"{block.name}.{part}", f"blocks.{number}.{name}_conv")
        yield from _squeeze(block, f"blocks.{number}.mid_se")
    yield from _pair("last", "last_second_conv")
    yield "widen", "last_conv"


def _lcnet_layers() -> Pairs:
    yield from _pair("first", "stem.0")
    for place, block in _lcnet_blocks():
        kernels, points = len(block.kernels), len(block.pointwise)
        for k in range(kernels):
            name = "dw_conv" if kernels == 1 else f"dw_conv_list.{k}"
            yield from _pair(f"{block.name}.depthwise.{k}", f"{place}.{name}")
        yield from _squeeze(block, f"{place}.se")
        for k in range(points):
            yield from _pair(f"{block.name}.pointwise.{k}", f"{place}.pw_conv" + (f"_{k + 1}" if points > 1 else ""))
    yield "attention.fc", "global_attention.fc"
    yield "widen", "last_conv"


def _squeeze(block: MobileBlock, name: str) -> Pairs:
    yield f"{block.name}.squeeze.reduce", f"{name}.conv1"
    yield f"{block.name}.squeeze.expand", f"{name}.conv2"


def _lcnet_blocks() -> Iterator[tuple[str, MobileBlock]]:
    """Paddle's name of each block."""
    for block in MOBILES["pp_lcnet_v2"].blocks:
        yield (f"stages.{block.stage - 1}.{block.index}" if block.stage else "stem.1"), block
