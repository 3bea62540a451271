"""The motion sensitive network's codebase, which grew out of TDN's."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import Dialect, Names, Shape, ask_segments, rewrite
from trishift.model.architectures import RESNETS
from trishift.model.spec import MOTION_FRAMES, InputSpec, ModelSpec, MotionSpec
from trishift.model.tensors import TensorInfo

_RULES = (
    (r"backbone\.motion_layer1\.(.*)", r"resnext_layer1.\1"),
    (r"backbone\.layer(\d)\.(\d+)\.learned_shift", r"layer\1_bak.\2.shift.conv"),
    (r"backbone\.layer(\d)\.(\d+)\.excitation\.(.*)", r"layer\1_bak.\2.motion_layer.\3"),
    (r"backbone\.layer(\d)\.(.*)", r"layer\1_bak.\2"),
    (r"backbone\.pyramid\.(.*)", r"\1"),
    (r"backbone\.(.*)", r"\1"),
)
_PYRAMID = {
    "conv1": "conv_1",
    "conv2": "conv_2",
    "pixel_conv": "conv_diff_1.0",
    "pixel_bn": "conv_diff_1.1",
    "feature_conv": "conv_diff_2.0",
    "feature_bn": "conv_diff_2.1",
}
_EXCITATION = {
    "reduce": "conv_down",
    "reduce_bn": "bn1",
    "deformable3": "motion_offset",
    "deformable3.offset": "motion_offset.conv_offset",
    "deformable5": "motion_offset_7",  # 5x5 despite its name
    "deformable5.offset": "motion_offset_7.conv_offset",
    "pooled": "conv1",
    "pooled_bn": "bn3",
    "temporal": "time_conv",
    "temporal_bn": "bn_t",
    "expand": "conv",
    "expand_bn": "bn2",
}
_UNREAD = r"(^|\.)(conv1_temp|conv1_5\.[01])\."
_CANCELED = r"(^|\.)conv_[12]\.bias$"


class MotionSensitiveNetwork(Dialect):
    """`module.base_model.layer2_bak.0.motion_layer.motion_offset.conv_offset.weight`, `module.new_fc.weight`.

    The files contain nine tensors that have no effect and that Trishift's network lacks. They are skipped when reading
    and written as zeros, because the original loads strictly.
    """

    name = "msn"
    title = "MSN (motion sensitive network)"
    backbones: tuple[str, ...] = tuple(name for name, resnet in RESNETS.items() if resnet.block == "bottleneck")
    container: str | None = "state_dict"
    prefix = "module."
    wrappers = ("module", "base_model")

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """DS-ME, which TDN lacks."""
        return any(".motion_layer." in name for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """The head is `new_fc` with dropout, else the backbone's last layer."""
        if layer == "head.fc":
            return ("new_fc", "fc", "classifier")
        parent, _, rest = layer.rpartition(".pyramid.")
        if parent:
            return (_PYRAMID[rest],)
        parent, _, rest = layer.rpartition(".excitation.")
        return (rewrite(f"{parent}.excitation.{_EXCITATION[rest]}" if parent else layer, _RULES),)

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Add `base_model.`."""
        return self.prefix + ("" if tensor.part == "head" else "base_model.") + name

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Ask for T, which determines the fusion after the stem and the comparison windows of 8."""
        answers.confirm("shift", "none")
        segments = ask_segments(answers, model)
        motion = MotionSpec(stem_share=0.5 if segments == 8 else 0.25)
        channels = MOTION_FRAMES * model.in_channels
        return replace(model, num_segments=segments, in_channels=channels, motion=motion)

    def input(self, spec: ModelSpec, answers: Answers) -> InputSpec:
        """Five RGB frames, each normalized on its own."""
        answers.confirm("modality", "rgb")
        return InputSpec()

    def useless(self, name: str) -> str | None:
        """Skip tensors without effect."""
        if re.search(_UNREAD, name):
            return "never read by the network"
        if re.search(_CANCELED, name):
            return "canceled in the difference of two features"
        return super().useless(name)

    def fillers(self, spec: ModelSpec) -> dict[str, Shape]:
        """The nine tensors without effect."""
        width, frame, window = spec.width, spec.frame_channels, spec.in_channels
        norm = dict.fromkeys((f"conv1_5.1.{role}" for role in self.norm_roles.values()), (width,))
        shapes: dict[str, Shape] = {
            "conv1_temp.weight": (width, frame, 7, 7),
            "conv1_temp.bias": (width,),
            "conv1_5.0.weight": (width, window - frame, 7, 7),
            **norm,
            "conv_1.bias": (width // 4,),
            "conv_2.bias": (width,),
        }
        return {f"{self.prefix}base_model.{name}": shape for name, shape in shapes.items()}
