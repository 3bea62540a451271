"""The motion sensitive network's codebase, which grew out of TDN's."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import ClassVar

from trishift.checkpoints.dialects.base import Shape
from trishift.checkpoints.dialects.tdn import TemporalDifferenceNetwork
from trishift.model.motion import MotionSpec
from trishift.model.spec import ModelSpec

_CANCELED = r"(^|\.)conv_[12]\.bias$"


class MotionSensitiveNetwork(TemporalDifferenceNetwork):
    """`module.base_model.layer2_bak.0.motion_layer.motion_offset.conv_offset.weight`, `module.new_fc.weight`.

    The files contain nine tensors that have no effect and that Trishift's network lacks. They are skipped when reading
    and written as zeros, because the original loads strictly.
    """

    name = "msn"
    title = "MSN (motion sensitive network)"
    motion_map: ClassVar[Mapping[str, str]] = {
        "pyramid.conv1": "conv_1",
        "pyramid.conv2": "conv_2",
        "pyramid.pixel_conv": "conv_diff_1.0",
        "pyramid.pixel_bn": "conv_diff_1.1",
        "pyramid.feature_conv": "conv_diff_2.0",
        "pyramid.feature_bn": "conv_diff_2.1",
    }
    excitation: ClassVar[Mapping[str, str]] = {
        "reduce": "motion_layer.conv_down",
        "reduce_bn": "motion_layer.bn1",
        "deformable3": "motion_layer.motion_offset",
        "deformable3.offset": "motion_layer.motion_offset.conv_offset",
        "deformable5": "motion_layer.motion_offset_7",  # 5x5 despite its name
        "deformable5.offset": "motion_layer.motion_offset_7.conv_offset",
        "pooled": "motion_layer.conv1",
        "pooled_bn": "motion_layer.bn3",
        "temporal": "motion_layer.time_conv",
        "temporal_bn": "motion_layer.bn_t",
        "expand": "motion_layer.conv",
        "expand_bn": "motion_layer.bn2",
    }
    unread = r"(^|\.)(conv1_temp|conv1_5\.[01])\."

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """DS-ME, which TDN lacks."""
        return any(".motion_layer." in name for name in names)

    def motion(self, segments: int) -> MotionSpec:
        """T determines the fusion after the stem; the comparison windows have 8 segments."""
        return MotionSpec(stem_share=0.5 if segments == 8 else 0.25)

    def useless(self, name: str) -> str | None:
        """Skip tensors without effect."""
        if re.search(_CANCELED, name):
            return "canceled in the difference of two features"
        return super().useless(name)

    def fillers(self, spec: ModelSpec) -> dict[str, Shape]:
        """The nine tensors without effect."""
        width = spec.width
        shapes: dict[str, Shape] = {
            "conv1_5.0.weight": (width, spec.in_channels - spec.frame_channels, 7, 7),
            **dict.fromkeys((f"conv1_5.1.{role}" for role in self.norm_roles.values()), (width,)),
            "conv_1.bias": (width // 4,),
            "conv_2.bias": (width,),
        }
        return super().fillers(spec) | {f"{self.prefix}base_model.{name}": shape for name, shape in shapes.items()}
