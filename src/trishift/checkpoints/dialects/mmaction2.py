"""mmaction2 (TSN, TSM, TRN): torchvision's ResNet with each conv and its norm in one ConvModule."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import IMAGENET_RESNETS, Dialect, Names, rewrite
from trishift.checkpoints.dialects.relation_head import relation_layer, with_relation_head
from trishift.checkpoints.dialects.wrappers import describe_wrapped
from trishift.errors import CheckpointError
from trishift.model.backbones.mobilenet_v2 import MOBILENET_V2_STAGES
from trishift.model.non_local import NonLocalForm
from trishift.model.spec import ModelSpec, block_names
from trishift.model.tensors import TensorInfo

_RULES = (
    (r"backbone\.(layer.*)\.non_local\.theta", r"\1.non_local_block.theta.conv"),
    (r"backbone\.(layer.*)\.non_local\.(phi|g)", r"\1.non_local_block.\2.0.conv"),
    (r"backbone\.(layer.*)\.non_local\.pair", r"\1.non_local_block.concat_project.conv"),
    (r"backbone\.(layer.*)\.non_local\.out", r"\1.non_local_block.conv_out.conv"),
    (r"backbone\.(layer.*)\.non_local\.bn", r"\1.non_local_block.conv_out.bn"),
    (r"backbone\.(layer.*\.)?downsample\.0", r"\1downsample.conv"),
    (r"backbone\.(layer.*\.)?downsample\.1", r"\1downsample.bn"),
    (r"backbone\.(layer.*\.)conv(\d)", r"\1conv\2.conv"),
    (r"backbone\.(layer.*\.)bn(\d)", r"\1conv\2.bn"),
    (r"backbone\.conv1", r"conv1.conv"),
    (r"backbone\.bn1", r"conv1.bn"),
    (r"backbone\.features\.0\.0", r"conv1.conv"),
    (r"backbone\.features\.0\.1", r"conv1.bn"),
    (r"backbone\.features\.18\.0", r"conv2.conv"),
    (r"backbone\.features\.18\.1", r"conv2.bn"),
)
_PART = ("conv", "bn")
_STAGED = [f"layer{s}.{i}" for s, stage in enumerate(MOBILENET_V2_STAGES, 1) for i in range(stage.repeats)]


def _mobilenet(layer: str) -> str:
    """Return an inverted residual's layer: blocks are numbered within stages, and each conv is paired with its norm."""
    match = re.match(r"^backbone\.features\.(\d+)\.conv\.(\d)(?:\.(\d))?$", layer)
    if match is None:
        return layer
    block, major, minor = int(match[1]), int(match[2]), match[3]
    if minor is not None:
        return f"{_STAGED[block - 1]}.conv.{major}.{_PART[int(minor)]}"
    last = 1 if block == 1 else 2  # the projection's index among the block's convolutions
    return f"{_STAGED[block - 1]}.conv.{last}.{_PART[major - last]}"


def _non_local_form(names: Names, answers: Answers) -> NonLocalForm:
    """Infer the pairwise function from the layers; with two embeddings, attention and dot product look alike."""
    if names.any(r"non_local_block\.concat_project\."):
        form: NonLocalForm = answers.confirm("non_local_form", "concatenation")
    elif not names.any(r"non_local_block\.theta\."):
        form = answers.confirm("non_local_form", "gaussian")
    else:
        question = "the pairwise function of its non-local blocks, embedded_gaussian or dot_product"
        form = answers.ask("non_local_form", question)
        if form not in ("embedded_gaussian", "dot_product"):
            raise CheckpointError(
                f"{answers.path}: non_local_form={form!r}, but the weights allow embedded_gaussian and dot_product"
            )
    return form


class MMAction2(Dialect):
    """`backbone.layer1.0.conv1.conv.net.weight`, `backbone.layer1.0.conv1.bn.weight`, `cls_head.fc_cls.weight`."""

    name = "mmaction2"
    title = "mmaction2 (TSN, TSM, TRN)"
    backbones: tuple[str, ...] = (*IMAGENET_RESNETS, "mobilenet_v2")
    container: str | None = "state_dict"
    wrappers = ("module", "backbone", "net", "block")

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """ConvModules under `backbone.`."""
        return any("backbone." in name for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """ConvModules in the backbone; the head's only linear layer is `fc_cls`."""
        if layer == "head.fc":
            return ("cls_head.fc_cls",)
        return (relation_layer(layer, spec, "cls_head.") or _mobilenet(rewrite(layer, _RULES)),)

    def useless(self, name: str) -> str | None:
        """Preprocessing is part of Trishift's description."""
        return "preprocessing" if name.startswith("data_preprocessor.") else super().useless(name)

    def lacks(self, tensor: TensorInfo) -> bool:
        """The last conv of its non-local block has no bias, because a norm follows."""
        return tensor.name.endswith(".non_local.out.bias")

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Infer the placement from `.net.`, and T from relations (else ask)."""
        model = with_relation_head(model, names.shapes, r"cls_head.")
        if names.any("non_local_block"):
            model = replace(model, non_local=True, non_local_form=_non_local_form(names, answers))
        branches = {r"layer(\d)\.(?:net\.)?(\d+)\.(?:block\.)?conv1\.conv\.net\.": r"layer\1.\2"}
        if model.backbone == "mobilenet_v2":
            branches = {rf"{re.escape(place)}\.conv\.0\.net\.": f"features.{k}" for k, place in enumerate(_STAGED, 1)}
        return describe_wrapped(model, names, answers, branches)

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Add `backbone.` and the parts of wrapper modules."""
        if tensor.part == "head":
            return name
        block = next((b for b in block_names(spec.backbone) if f".{b}." in tensor.name), None)
        if block is not None and block in spec.shifted_blocks and tensor.part != "non_local":
            if spec.shifts_identity:
                name = re.sub(r"^(layer\d\.\d+)\.", r"\1.net.", name)
            else:
                name = re.sub(r"\.conv1\.conv\.weight$", ".conv1.conv.net.weight", name)
                name = re.sub(r"^(layer.*\.conv\.0)\.(conv|bn)\.", r"\1.net.\2.", name)
        if block in spec.non_local_blocks and tensor.part != "non_local":
            name = re.sub(r"^(layer\d\.\d+)\.", r"\1.block.", name)
        if spec.temporal_pool:
            name = re.sub(r"^layer2\.", "layer2.net.", name)
        return f"backbone.{name}"

    def export_array(self, tensor: TensorInfo, array: np.ndarray) -> np.ndarray:
        """Convolutions of non-local blocks are 1x1x1, except the one that compares pairs."""
        if re.search(r"\.non_local\.(theta|phi|g|out)\.weight$", tensor.name):
            return array[..., np.newaxis]
        return array
