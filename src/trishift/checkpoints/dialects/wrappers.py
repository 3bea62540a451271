"""Traces of TSM's wrapper modules in names: `.net.` for a shift or a temporal pooling.

Shared by the original code, mmaction2 and MindSpore's port, which wrap the same modules.
"""

from __future__ import annotations

import re
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import Names, ask_segments, ask_shift, is_resnet, placement_of
from trishift.errors import CheckpointError
from trishift.model.spec import ModelSpec, ShiftSpec


def describe_wrapped(model: ModelSpec, names: Names, answers: Answers, blocks: dict[str, str]) -> ModelSpec:
    """Describe a TSN or TSM whose names show its shift.

    Args:
        model: the model as known so far.
        names: the file's names.
        answers: import options.
        blocks: pattern of a raw name inside a shifted branch, to the canonical block (which may refer to its groups).
    """
    segments = ask_segments(answers, model)
    if model.backbone == "bn_inception":  # its shift is a function call and leaves no trace
        shift = ask_shift(answers, "block", div=_div(answers)) if model.head.consensus == "average" else None
        return replace(model, num_segments=segments, shift=shift)
    whole = names.any(r"layer\d\.(net\.)?\d+\.(block\.)?net\.")
    shifted = {match.expand(block) for pattern, block in blocks.items() for match in _matches(pattern, names)}
    if whole and shifted:
        raise CheckpointError("some blocks are shifted as a whole and others in their branch; this is not a TSM")
    placement = "block" if whole else placement_of(shifted, model.backbone)
    if placement == "block" or placement == "blockres":
        answers.confirm("shift", placement)
    if not placement:
        answers.confirm("shift", "none")
    return replace(
        model,
        num_segments=segments,
        shift=ShiftSpec(div=_div(answers), placement=placement) if placement else None,  # type: ignore[arg-type]
        temporal_pool=is_resnet(model) and names.any(r"layer2\.net\.\d"),
    )


def _matches(pattern: str, names: Names) -> list[re.Match[str]]:
    return [match for name in names.raw if (match := re.search(pattern, name))]


def _div(answers: Answers) -> int:
    return int(answers.assume("shift_div", 8))
