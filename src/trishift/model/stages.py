"""The stages of a network, by name: what can be frozen, and how far each tensor is from the input.

ResNet         stem, layer1 to layer4 (MSN, TDN: also pyramid or short_term, and motion_layer1)
MobileNets     stem, layer1 to layer4: the same resolutions as in ResNet, and so in PP-LCNetV2
BNInception    stem, inception_3, inception_4, inception_5
InceptionV3    stem, Mixed_5, Mixed_6, Mixed_7
every head     head

`backbone` stands for all stages but the head, `early` for those up to layer2, inception_3 or Mixed_5.
"""

from __future__ import annotations

import re

from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, tensor_table

HEAD = "head"
_DEPTHS = {
    **{"stem": 0, "pyramid": 0, "short_term": 0},
    **{"layer1": 1, "motion_layer1": 1, "layer2": 2, "layer3": 3, "layer4": 4},
    **{"inception_3": 1, "inception_4": 2, "inception_5": 3},
    **{"Mixed_5": 1, "Mixed_6": 2, "Mixed_7": 3},
}
STAGE_SETS = {
    "backbone": frozenset(_DEPTHS),
    "early": frozenset(
        {"stem", "pyramid", "short_term", "layer1", "motion_layer1", "layer2", "inception_3", "Mixed_5"}
    ),
}
"""Names that stand for several stages of any backbone. The early ones see edges and textures, at a high resolution."""
_FIRST_FEATURES = {"stem": 0, "layer1": 2, "layer2": 4, "layer3": 7, "layer4": 14}  # in MobileNetV2
_MOBILE_PARTS = {"layer0": "stem", "attention": "layer3", "last": "layer4", "widen": "layer4"}  # see `mobile`


def stage_of(info: TensorInfo) -> str:
    """The stage of a tensor."""
    if not info.layer_name.startswith("backbone."):
        return HEAD
    part = info.layer_name.split(".")[1]
    if part in _MOBILE_PARTS:
        return _MOBILE_PARTS[part]
    module = re.match(
        r"backbone\.(?:(\w*layer\d|pyramid|short_term|inception_\d|Mixed_\d)|features\.(\d+))", info.layer_name
    )
    if module is None:
        return "stem"
    named, feature = module.groups()
    return named or [stage for stage, first in _FIRST_FEATURES.items() if first <= int(feature)][-1]


def stage_names(spec: ModelSpec) -> tuple[str, ...]:
    """The stages of a model's backbone, from the input to the output."""
    found = {stage_of(info) for info in tensor_table(spec)} - {HEAD}
    return tuple(stage for stage in _DEPTHS if stage in found)


def distances(names: set[str]) -> dict[str, int]:
    """Stages to their distance from the head, which has 0."""
    last = max((_DEPTHS[name] for name in names if name != HEAD), default=0)
    return {name: 0 if name == HEAD else 1 + last - _DEPTHS[name] for name in names}
