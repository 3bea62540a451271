"""TDN's codebase, and what the motion sensitive network's has from it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import Dialect, Names, Shape, ask_segments, rewrite
from trishift.model.backbones.resnet import RESNETS
from trishift.model.motion import MOTION_FRAMES, MotionSpec, tdn
from trishift.model.spec import InputSpec, ModelSpec
from trishift.model.tensors import TensorInfo

_RULES = (
    (r"motion_layer1\.(.*)", r"resnext_layer1.\1"),
    (r"layer(\d)\.(\d+)\.learned_shift", r"layer\1_bak.\2.shift.conv"),
    (r"layer(\d)\.(.*)", r"layer\1_bak.\2"),
)


class TemporalDifferenceNetwork(Dialect):
    """`module.base_model.layer2_bak.0.mse.conv3_smallscale2.weight`, `module.new_fc.weight`.

    The files contain two tensors of a convolution that is never used. They are skipped when reading and written as
    zeros, because the original loads strictly.

    Attributes:
        motion_map: layers of the motion map to their names.
        excitation: layers of a block's motion module to their names.
        unread: pattern of the names of tensors that the network never reads.
    """

    name = "tdn"
    title = "TDN (temporal difference network)"
    backbones: tuple[str, ...] = tuple(
        name for name, resnet in RESNETS.items() if resnet.block == "bottleneck" and not resnet.vd
    )
    container: str | None = "state_dict"
    prefix = "module."
    wrappers = ("module", "base_model")
    motion_map: ClassVar[Mapping[str, str]] = {"short_term.conv": "conv1_5.0", "short_term.bn": "conv1_5.1"}
    excitation: ClassVar[Mapping[str, str]] = {
        "reduce": "mse.conv1",
        "reduce_bn": "mse.bn1",
        "depthwise": "mse.conv2",
        "pooled": "mse.conv3_smallscale2",
        "pooled_bn": "mse.bn3_smallscale2",
        "whole": "mse.conv3_smallscale4",  # not pooled despite its name
        "whole_bn": "mse.bn3_smallscale4",
        "expand": "mse.conv3",
        "expand_bn": "mse.bn3",
    }
    unread = r"(^|\.)conv1_temp\."

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """The motion modules, which MSN has replaced."""
        return any(".mse." in name for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """The head is `new_fc` with dropout, else the backbone's last layer."""
        if layer == "head.fc":
            return ("new_fc", "fc", "classifier")
        name = layer.removeprefix("backbone.")
        if name in self.motion_map:
            return (self.motion_map[name],)
        block, _, rest = name.rpartition(".excitation.")
        return (rewrite(f"{block}.{self.excitation[rest]}" if block else name, _RULES),)

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Add `base_model.`."""
        return self.prefix + ("" if tensor.part == "head" else "base_model.") + name

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Ask for T, which determines the share of motion and which neither names nor shapes show.

        Raises:
            CheckpointError: T is unknown, or not the one in the file's name.
        """
        answers.confirm("shift", "none")
        segments = ask_segments(answers, model)
        answers.confirm_named("num_segments", segments, "segments fuse motion differently")
        channels = MOTION_FRAMES * model.in_channels
        return replace(model, num_segments=segments, in_channels=channels, motion=self.motion(segments))

    def motion(self, segments: int) -> MotionSpec:
        """The motion modules for T segments."""
        return tdn(segments)

    def input(self, spec: ModelSpec, answers: Answers) -> InputSpec:
        """Five RGB frames, each normalized on its own."""
        answers.confirm("modality", "rgb")
        return InputSpec()

    def useless(self, name: str) -> str | None:
        """Skip tensors without effect."""
        return "never read by the network" if re.search(self.unread, name) else super().useless(name)

    def fillers(self, spec: ModelSpec) -> dict[str, Shape]:
        """The convolution that is never used."""
        place, width = f"{self.prefix}base_model.conv1_temp", spec.width
        return {f"{place}.weight": (width, spec.frame_channels, 7, 7), f"{place}.bias": (width,)}
