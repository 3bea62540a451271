"""PaddleVideo's PP-TSM and PP-TSN on the variants D of ResNet: `.pdparams` with numbered blocks.

Both have the same names and shapes, although PP-TSN neither shifts nor has leaky activations. T is not in the file.
"""

from __future__ import annotations

import re
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import Names, unshifted_image_model
from trishift.checkpoints.dialects.paddlevideo import PaddleVideo, check_folds
from trishift.errors import CheckpointError
from trishift.model.spec import ModelSpec, ShiftSpec

SLOPE = 0.01
_STEM = {"0": "1", "1": "1", "3": "2", "4": "2", "6": "3"}  # in `conv1` to the number of the convolution


class PPTSM(PaddleVideo):
    """`backbone.conv1_1._conv.weight`, `backbone.bb_0_0.short._batch_norm._mean`, `head.fc.weight` (in, out)."""

    name = "pptsm"
    title = "PaddleVideo (PP-TSM, PP-TSN)"
    backbones = ("resnet50_vd", "resnet101_vd")

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """conv1..3 are conv0..2, `downsample` is `short`; the stem's are conv1_1..3."""
        if layer == "head.fc":
            return super().layer_names(layer, spec)
        block = re.match(r"^backbone\.layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)$", layer)
        if block is None:
            number = layer.removeprefix("backbone.conv1.")
            is_norm = number in ("1", "4", "backbone.bn1")
            place = f"conv1_{_STEM.get(number, '3')}"
        else:
            is_norm = block[3] == "bn" or (block[3], block[4]) == ("downsample.", "2")
            conv = "short" if block[3] == "downsample." else f"conv{int(block[4]) - 1}"
            place = f"bb_{int(block[1]) - 1}_{block[2]}.{conv}"
        return (f"{place}.{'_batch_norm' if is_norm else '_conv'}",)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Take it for a PP-TSM of 8 frames, and say so, unless told otherwise; T determines the ratio."""
        if not names.any(r"^backbone\."):
            return unshifted_image_model(model, answers)
        shift = answers.assume("shift", "blockres", "a PP-TSM; shift=none for a PP-TSN, whose names are the same")
        segments = int(answers.assume("num_segments", 8))
        if shift == "none":
            return replace(model, num_segments=segments)
        if shift not in ("blockres", "tsm"):
            raise CheckpointError(f"shift={shift!r}: weights of this family allow 'blockres' and 'none'")
        div = int(answers.given("shift_div") or segments)
        check_folds(model, div)
        return replace(
            model,
            num_segments=segments,
            negative_slope=SLOPE,
            shift=ShiftSpec(div=div, order="past_first"),
        )
