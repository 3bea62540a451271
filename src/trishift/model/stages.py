"""The stages of a network, by name: what can be frozen, and how far each tensor is from the input.

ResNet         stem, layer1 to layer4 (MSN, TDN: also pyramid or short_term, and motion_layer1)
MobileNets     stem, layer1 to layer4: the same resolutions as in ResNet, and so in PP-LCNetV2
BNInception    stem, inception_3, inception_4, inception_5
InceptionV3    stem, Mixed_5, Mixed_6, Mixed_7
every head     head

`backbone` stands for all stages but the head, `early` for those up to layer2, inception_3 or Mixed_5.
"""

from __future__ import annotations

from trishift.model.backbones import BACKBONES
from trishift.model.spec import ModelSpec
from trishift.model.tensors import HEAD, tensor_table

_DEPTHS = {
    stage: depth for network in BACKBONES.values() for depth, stages in enumerate(network.stages) for stage in stages
}
STAGE_SETS = {
    "backbone": frozenset(_DEPTHS),
    "early": frozenset(
        stage for network in BACKBONES.values() for stages in network.stages[: network.early + 1] for stage in stages
    ),
}
"""Names that stand for several stages of any backbone. The early ones see edges and textures, at a high resolution."""


def stage_names(spec: ModelSpec) -> tuple[str, ...]:
    """The stages of a model's backbone, from the input to the output."""
    found = {info.stage for info in tensor_table(spec)}
    return tuple(stage for stages in BACKBONES[spec.backbone].stages for stage in stages if stage in found)


def distances(names: set[str]) -> dict[str, int]:
    """Stages to their distance from the head, which has 0."""
    last = max((_DEPTHS[name] for name in names if name != HEAD), default=0)
    return {name: 0 if name == HEAD else 1 + last - _DEPTHS[name] for name in names}
