"""Names of TRN's heads in the original code, which mmaction2 and MindSpore's port share.

Indices 1 and 3 are the two linear layers of a relation's Sequential(ReLU, Linear, ReLU, Linear).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from trishift.checkpoints.dialects.base import Shape
from trishift.errors import CheckpointError
from trishift.model.spec import HeadSpec, ModelSpec

_LAYER = re.compile(r"^head\.relations\.(\d+)\.(hidden|classifier)$")
_POSITION = {"hidden": 1, "classifier": 3}


def relation_layer(layer: str, spec: ModelSpec, prefix: str = "") -> str | None:
    """Return the foreign name of a relation head's canonical layer, or None for other layers."""
    match = _LAYER.match(layer)
    if match is None:
        return None
    if spec.head.consensus == "relation":
        return f"{prefix}consensus.classifier.{_POSITION[match[2]]}"
    return f"{prefix}consensus.fc_fusion_scales.{match[1]}.{_POSITION[match[2]]}"


def with_relation_head(model: ModelSpec, shapes: Mapping[str, Shape], prefix: str = "") -> ModelSpec:
    """Return `model` with the file's relation head, or unchanged if there is none.

    The widths of the hidden matrices determine T: the widest relation reads T frames of `relation_width` features.
    """
    scales = {
        int(match[1]) for name in shapes if (match := re.match(rf"{prefix}consensus\.fc_fusion_scales\.(\d+)\.", name))
    }
    single = f"{prefix}consensus.classifier.1.weight" in shapes
    if not scales and not single:
        return model
    first = f"{prefix}consensus." + ("classifier" if single else "fc_fusion_scales.0")
    try:
        hidden, classifier = shapes[f"{first}.1.weight"], shapes[f"{first}.3.weight"]
    except KeyError as missing:
        raise CheckpointError(f"the relation head is incomplete: {missing.args[0]} is missing") from None
    width = model.num_classes  # inferred from the per-frame projection
    segments = hidden[1] // max(width, 1) if single else max(scales) + 2
    published = 512 if single else 256
    head = HeadSpec(
        consensus="relation" if single else "multiscale_relation",
        relation_width=width,
        hidden_width=None if hidden[0] == published else hidden[0],
    )
    return replace(model, num_classes=classifier[0], num_segments=max(segments, 2), head=head)
