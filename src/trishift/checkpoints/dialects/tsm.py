"""temporal-shift-module (TSN and TSM), its online demo, the embedded variant and M4, which all share its names.

Wrapper modules add `.net.` to names; its position shows what is shifted. DataParallel adds `module.` to every name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import (
    IMAGENET_RESNETS,
    Dialect,
    Names,
    ask_segments,
    rewrite,
    unshifted_image_model,
)
from trishift.checkpoints.dialects.wrappers import describe_wrapped
from trishift.model.spec import ModelSpec, ShiftSpec, block_names
from trishift.model.tensors import TensorInfo

_RULES = (
    (r"backbone\.(layer.*)\.non_local\.theta", r"\1.nl.theta"),
    (r"backbone\.(layer.*)\.non_local\.(phi|g)", r"\1.nl.\2.0"),
    (r"backbone\.(layer.*)\.non_local\.out", r"\1.nl.W.0"),
    (r"backbone\.(layer.*)\.non_local\.bn", r"\1.nl.W.1"),
    (r"backbone\.(.*)", r"\1"),
)
_BRANCHES = {
    r"layer(\d)\.(?:net\.)?(\d+)\.(?:block\.)?conv1\.net\.": r"layer\1.\2",
    r"features\.(\d+)\.conv\.0\.net\.": r"features.\1",
}


def flat_mobilenet(layer: str) -> str:
    """Return a MobileNetV2 layer under its old flat numbering: conv, norm and activation count one each."""
    match = re.match(r"^(features\.\d+\.conv)\.(\d)(?:\.(\d))?$", layer)
    if match is None:
        return layer
    block, major, minor = match[1], int(match[2]), match[3]
    if minor is not None:
        return f"{block}.{3 * major + int(minor)}"
    stages = 1 if block == "features.1.conv" else 2  # conv-norm-activation triples before the last conv
    return f"{block}.{3 * stages + major - stages}"


class TemporalShiftModule(Dialect):
    """`module.base_model.layer1.0.conv1.net.weight`, `module.new_fc.weight`; three spellings of the head."""

    name = "tsm"
    title = "temporal-shift-module (TSN, TSM)"
    backbones: tuple[str, ...] = (*IMAGENET_RESNETS, "mobilenet_v2", "bn_inception")
    container: str | None = "state_dict"
    prefix = "module."
    wrappers = ("module", "base_model", "net", "block")

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """Names with `base_model.`, `.net.` or `new_fc.`, but no relation head and no embedded shift."""
        marked = any("base_model." in name or ".net." in name or "new_fc." in name for name in names)
        return marked and not any("consensus." in name or ".conv.net." in name for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """The head is `new_fc` with dropout, else the backbone's last layer."""
        if layer == "head.fc":
            return ("new_fc", "fc", "classifier")
        return (flat_mobilenet(rewrite(layer, _RULES)),)

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Add `base_model.` and the parts of wrapper modules."""
        if tensor.part == "head":
            return self.prefix + name
        block = next((b for b in block_names(spec.backbone) if name.startswith(b + ".")), None)
        if block is not None:
            rest = name[len(block) + 1 :]
            name = f"{block}.{self.mark_shift(rest, block, spec)}"
            if block in spec.non_local_blocks and not rest.startswith("nl."):
                name = f"{block}.block.{name[len(block) + 1 :]}"
        if spec.temporal_pool and name.startswith("layer2."):
            name = name.replace("layer2.", "layer2.net.", 1)
        return f"{self.prefix}base_model.{name}"

    def mark_shift(self, rest: str, block: str, spec: ModelSpec) -> str:
        """Return the part of a name inside a block, with `net.` at the position of its shift."""
        if block not in spec.shifted_blocks or rest.startswith("nl."):
            return rest
        if spec.shifts_identity:
            return f"net.{rest}"
        return re.sub(r"^(conv1|conv\.0)\.weight$", r"\1.net.weight", rest)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Infer the placement from `.net.`; ask for T."""
        model = replace(model, non_local=names.any(r"\.nl\."))
        return describe_wrapped(model, names, answers, _BRANCHES)

    def export_array(self, tensor: TensorInfo, array: np.ndarray) -> np.ndarray:
        """The convolutions of non-local blocks are 1x1x1."""
        if tensor.part == "non_local" and tensor.layer == "conv" and array.ndim == 4:
            return array[..., np.newaxis]
        return array


class M4(TemporalShiftModule):
    """Multi-label Moments in Time: a TSM ResNet-50 with `best_mAP` in its container."""

    name = "m4"
    title = "M4-pretrained TSM (Multi-Moments, 313 classes)"
    backbones: tuple[str, ...] = ("resnet50",)
    label_lists: tuple[str, ...] = ()

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """The container distinguishes it from an ordinary TSM."""
        return super().claims(names, extras) and "best_mAP" in extras

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Describe a TSM for several labels per clip."""
        return replace(super().describe(model, names, answers), multi_label=True)


class EmbeddedTSM(TemporalShiftModule):
    """Wraps the branch of all 17 blocks of MobileNetV2: `features.3.conv.net.0.weight`.

    Its shapes equal those of the original MobileNetV2 TSM, which shifts only ten blocks and computes something else.
    """

    name = "embedded_tsm"
    title = "embedded_TSM (MobileNetV2, shift in every block)"
    backbones: tuple[str, ...] = ("mobilenet_v2",)

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """`conv.net.` occurs only in this family."""
        return any(re.search(r"features\.\d+\.conv\.net\.", name) for name in names)

    def mark_shift(self, rest: str, block: str, spec: ModelSpec) -> str:
        """The whole `conv` Sequential is wrapped."""
        return re.sub(r"^conv\.", "conv.net.", rest) if block in spec.shifted_blocks else rest

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Shift the branches of all wrapped blocks."""
        wrapped = {f"features.{i}" for i in range(1, 18) if names.any(rf"features\.{i}\.conv\.net\.")}
        placement = tuple(name for name in block_names("mobilenet_v2") if name in wrapped)
        shift = ShiftSpec(div=int(answers.assume("shift_div", 8)), placement=placement)
        return replace(model, num_segments=ask_segments(answers, model), shift=shift)


class FlatMobileNet(TemporalShiftModule):
    """MobileNetV2 in flat numbering without prefix.

    With `classifier.weight` it is TSM's online demo, which is unidirectional (set in its code). With
    `classifier.1.weight` it is the ImageNet network that embedded_TSM starts from.
    """

    name = "tsm_online"
    title = "temporal-shift-module online demo (MobileNetV2, unidirectional)"
    backbones: tuple[str, ...] = ("mobilenet_v2",)
    container: str | None = None
    prefix = ""

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """No prefix and no wrapper modules."""
        return not any(name.startswith("base_model.") or ".net." in name or name.startswith("new_fc") for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """`classifier`, or `classifier.1` after dropout."""
        if layer == "head.fc":
            return ("classifier", "classifier.1")
        return super().layer_names(layer, spec)

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Nothing to add."""
        return name

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Tell the two networks apart by their heads."""
        if not any(name.endswith("classifier.weight") for name in names.raw):
            return unshifted_image_model(model, answers)
        segments = int(answers.assume("num_segments", 8))
        shift = ShiftSpec(div=int(answers.assume("shift_div", 8)), direction="unidirectional")
        return replace(model, num_segments=segments, shift=shift)
