"""PaddleVideo's PP-TSM and PP-TSN on the variants D of ResNet: `.pdparams` with numbered blocks.

Both have the same names and shapes, although PP-TSN neither shifts nor has leaky activations. T is not in the file.
"""

from __future__ import annotations

import re
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import Names, share_of_segments, shifts, unshifted_image_model
from trishift.checkpoints.dialects.paddlevideo import PaddleVideo
from trishift.model.spec import ModelSpec, ShiftSpec

SLOPE = 0.01
_STEM = {
    **{"backbone.conv1.0": "conv1_1._conv", "backbone.conv1.1": "conv1_1._batch_norm"},
    **{"backbone.conv1.3": "conv1_2._conv", "backbone.conv1.4": "conv1_2._batch_norm"},
    **{"backbone.conv1.6": "conv1_3._conv", "backbone.bn1": "conv1_3._batch_norm"},
}
_BLOCK = re.compile(r"backbone\.layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)")


class PPTSM(PaddleVideo):
    """`backbone.conv1_1._conv.weight`, `backbone.bb_0_0.short._batch_norm._mean`, `head.fc.weight` (in, out)."""

    name = "pptsm"
    title = "PaddleVideo (PP-TSM, PP-TSN)"
    backbones = ("resnet50_vd", "resnet101_vd")

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """conv1..3 are conv0..2, `downsample` is `short`; the stem's are conv1_1..3."""
        if layer == "head.fc":
            return super().layer_names(layer, spec)
        match = _BLOCK.fullmatch(layer)
        if match is None:
            return (_STEM[layer],)
        stage, index, kind, number = int(match[1]), match[2], match[3], int(match[4])
        place = "short" if kind == "downsample." else f"conv{number - 1}"
        part = "_batch_norm" if kind == "bn" or (kind == "downsample." and number == 2) else "_conv"
        return (f"bb_{stage - 1}_{index}.{place}.{part}",)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Ask for PP-TSM or PP-TSN; take it for one of 8 frames, and say so, unless told otherwise. T is the ratio."""
        if not names.any(r"^(backbone|0)\."):
            return unshifted_image_model(model, answers)
        segments = int(answers.assume("num_segments", 8))
        shift = answers.ask("shift", "which of two networks it is: shift='blockres' for a PP-TSM, 'none' for a PP-TSN")
        if not shifts(answers, shift):
            return replace(model, num_segments=segments)
        return replace(
            model,
            num_segments=segments,
            negative_slope=SLOPE,
            shift=ShiftSpec(share_of_segments(answers, segments), order="past_first"),
        )
