"""Name what is different about logits from elsewhere: the change of the network or of its input that explains them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from trishift.backends import open_session
from trishift.checking.pixels import Change
from trishift.checkpoints.canonical import Checkpoint
from trishift.data.stages import Pixels
from trishift.errors import TrishiftError
from trishift.model.pixels import normalization
from trishift.model.relations import prediction_relations
from trishift.model.spec import ModelSpec, ShiftSpec

_SCALES = {"from 0 to 1": (1 / 255, 0.0), "from -1 to 1": (2 / 255, 1.0), "from 0 to 255": (1.0, 0.0)}


def spec_changes(found: ModelSpec, expected: ModelSpec) -> list[Change]:
    """The properties that two descriptions of a network do not share."""
    changes = []
    if found.num_segments != expected.num_segments:
        changes.append(("frames", f"{found.num_segments} segments, expected {expected.num_segments}"))
    for name in ("backbone", "width", "shift", "motion", "non_local", "temporal_pool", "head", "num_classes"):
        one, other = getattr(found, name), getattr(expected, name)
        if one == other:
            continue
        words = f"its {name} is {one}, expected {other}"
        if name == "shift" and one and other and replace(one, order=other.order) == other:
            words = f"the folds of its shift are swapped: {one.order}, expected {other.order}"
        changes.append(("features" if name not in ("head", "num_classes") else "logits", words))
    return changes


def name_network_change(
    logits: np.ndarray, clip: np.ndarray, checkpoint: Checkpoint, pixels: Pixels, framework: str, tolerance: float
) -> list[Change]:
    """The change that explains the mean logits (K,) of clips (N, T, C, H, W); empty if none does.

    The network is the checkpoint's in every form that its weights allow, and the input is reordered or rescaled.
    """
    found = logits - logits.mean()  # programs that return probabilities lose a constant
    largest = max(float(np.abs(found).max()), float(np.finfo(np.float32).tiny))
    spec = checkpoint.spec
    assert spec is not None
    for stage, words, change, clips in _candidates(spec, clip, pixels):
        try:
            changed = replace(spec, **change)
            session = open_session(framework, changed, weights=checkpoint.tensors)
            computed = session.predict(clips, prediction_relations(changed)).mean(axis=0)
        except TrishiftError:  # there is no such network, or the weights do not fit it
            continue
        if computed.shape != logits.shape:
            continue
        if float(np.abs(computed - computed.mean() - found).max()) <= tolerance * largest:  # false of NaN
            return [(stage, words)]
    return []


def _candidates(
    spec: ModelSpec, clip: np.ndarray, pixels: Pixels
) -> Iterator[tuple[str, str, dict[str, Any], np.ndarray]]:
    """Stage and words of a change, the properties of the network that it sets, which may not fit, and its input."""
    for words, shift in _shifts(spec.shift):
        yield "features", words, {"shift": shift}, clip
    if spec.head.consensus != "average":
        for mode in ("expected", "all", "first"):
            yield "logits", f"relations: {mode}", {"head": replace(spec.head, relations=mode)}, clip
    channels = clip.reshape(*clip.shape[:2], -1, 3, *clip.shape[-2:]) if clip.shape[2] % 3 == 0 else None
    if channels is not None:
        yield "colors", "red and blue are swapped", {}, channels[:, :, :, ::-1].reshape(clip.shape).copy()
    yield "frames", "in reverse order", {}, clip[:, ::-1].copy()
    rule = normalization(pixels.input, clip.shape[2])
    levels = (clip + rule.offsets) / rule.factors
    if pixels.input.modality == "rgb":
        for words, (factor, offset) in _SCALES.items():
            yield "normalization", f"pixels {words}", {}, (levels * factor - offset).astype(np.float32)


def _shifts(given: ShiftSpec | None) -> Iterator[tuple[str, ShiftSpec | None]]:
    """Other shifts in the words of a report."""
    if given is None:
        for div in (8, 4):
            yield f"it shifts 1/{div} of the channels each way", ShiftSpec(div)
        return
    other: Literal["past_first", "future_first"]
    other = "past_first" if given.order == "future_first" else "future_first"
    yield f"the folds of its shift are swapped: {other}, expected {given.order}", replace(given, order=other)
    yield "it does not shift", None
    for div in (4, 8, 16):
        if div != given.div:
            yield f"its shift moves 1/{div} of the channels, expected 1/{given.div}", replace(given, div=div)
    for placement in ("block", "blockres"):
        yield f"its shift is placed as {placement}, expected {given.placement}", replace(given, placement=placement)
    for direction in ("bidirectional", "unidirectional"):
        if direction != given.direction:
            yield f"its shift is {direction}, expected {given.direction}", replace(given, direction=direction)
