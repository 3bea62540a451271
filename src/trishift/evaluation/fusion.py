"""Fuse the scores of several models: RGB and flow (Simonyan & Zisserman 2014, arXiv:1406.2199), 8 and 16 frames."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from trishift.data.classes import class_order
from trishift.data.frames import VIDEO_SUFFIXES
from trishift.errors import DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import to_logits, to_probabilities
from trishift.evaluation.scores import Scores
from trishift.io.wording import counted, shown_first

_LOG = logging.getLogger(__name__)
Space = Literal["probabilities", "logits"]


def fuse(parts: Sequence[Scores], weights: Sequence[float], space: Space = "probabilities") -> Evaluation:
    """The weighted mean of several models' scores of the same videos.

    Videos are matched by name: their path below the common folder of all videos in the file, without video suffixes
    and leading zeros of numbers, so that clips, their frames and their flow match. Files without names must list the
    videos in the same order as the others.

    Args:
        parts: one or more score files.
        weights: one per file, not negative, not all zero.
        space: average `probabilities` or `logits` (only for models of one kind: larger logits dominate).

    Returns:
        The fused scores as an evaluation, in the order of the first file with names.

    Raises:
        DataError: the files differ in their videos, classes or labels.
    """
    if min(weights) < 0 or sum(weights) == 0:
        raise DataError(f"fuse: weights {', '.join(map(str, weights))}: must be positive")
    empty = next((part for part in parts if not len(part.logits)), None)
    if empty is not None:
        raise DataError(f"{empty.source}: has no scores to fuse; none of its videos could be read")
    multi_label = parts[0].targets.ndim == 2
    first = next((part for part in parts if part.names is not None), parts[0])
    total = np.zeros(first.logits.shape, np.float64)
    for part, weight in zip(parts, weights, strict=True):
        part = _with_classes_of(first, part)
        order = _order(first, part)
        _check_targets(first, part, order)
        logits = part.logits[order].astype(np.float64)
        total += weight / sum(weights) * (to_probabilities(logits, multi_label) if space == "probabilities" else logits)
    models = ", ".join(f"{part.source} x {weight:g}" for part, weight in zip(parts, weights, strict=True))
    return Evaluation(
        protocol=f"mean {space} of {models}",
        labels=_class_names(first) or tuple(str(number) for number in range(total.shape[1])),
        names=list(first.names or (str(number) for number in range(len(total)))),
        scores=(to_logits(total, multi_label) if space == "probabilities" else total).astype(np.float32),
        targets=first.targets,
        misses=[],
    )


def evaluation_of(part: Scores) -> Evaluation:
    """The evaluation of a single score file."""
    return fuse([part], [1.0], "logits")


def video_keys(names: Sequence[str]) -> list[str]:
    """Identifiers of the videos in a file, independent of their storage; see `fuse`."""
    try:
        shared = os.path.commonpath([Path(name).parent for name in names])
    except ValueError:  # some absolute, some relative
        shared = ""
    return [_key(Path(os.path.relpath(name, shared)) if shared else Path(name)) for name in names]


def _key(path: Path) -> str:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        path = path.with_suffix("")
    if path.name.isdecimal():
        path = path.with_name(path.name.lstrip("0") or "0")
    return path.as_posix()


def _order(first: Scores, part: Scores) -> np.ndarray:
    """Indices of the videos of `first` in `part`."""
    if len(part.logits) != len(first.logits):
        raise DataError(
            f"{part.source}: has {counted(len(part.logits), 'video')}, {first.source} has {len(first.logits)}; "
            "evaluate all models on the same list"
        )
    if part.names is None or first.names is None:
        return np.arange(len(part.logits))
    wanted, found = video_keys(first.names), video_keys(part.names)
    places = {key: place for place, key in enumerate(found)}
    if len(places) < len(found):
        raise DataError(f"{part.source}: {_duplicate(found)} is listed twice; list each video once")
    missing = [key for key in wanted if key not in places]
    if missing:
        raise DataError(
            f"{part.source}: lacks videos of {first.source}: {shown_first(missing, 1)}; "
            "evaluate all models on the same list"
        )
    return np.array([places[key] for key in wanted])


def _duplicate(keys: list[str]) -> str:
    return next(key for place, key in enumerate(keys) if key in keys[:place])


def _columns(first: Scores, part: Scores) -> np.ndarray:
    """Indices of the classes of `first` in `part`."""
    if part.logits.shape[1] != first.logits.shape[1]:
        counts = f"{part.logits.shape[1]} classes, {first.source} has {first.logits.shape[1]}"
        raise DataError(f"{part.source}: has {counts}; fuse models with the same classes")
    if not part.labels or not first.labels:
        return np.arange(part.logits.shape[1])
    columns = np.array(class_order(first.labels, part.labels, str(first.source), str(part.source)))
    if (columns != np.arange(len(columns))).any():
        _LOG.warning("%s: classes are in another order than in %s; mapped by name", part.source, first.source)
    return columns


def _with_classes_of(first: Scores, part: Scores) -> Scores:
    """The scores and labels of `part` in the class order of `first`."""
    columns = _columns(first, part)
    if part.targets.ndim == 2:
        targets = part.targets[:, columns]
    else:
        targets = np.where(part.targets < 0, -1, np.argsort(columns)[part.targets])
    return replace(part, logits=part.logits[:, columns], targets=targets, labels=first.labels)


def _class_names(part: Scores) -> tuple[str, ...] | None:
    """Class names; None if they are only numbers, the default for unnamed classes."""
    numbers = tuple(str(number) for number in range(part.logits.shape[1]))
    return None if part.labels == numbers else part.labels


def _check_targets(first: Scores, part: Scores, order: np.ndarray) -> None:
    if part.targets.shape != first.targets.shape:
        raise DataError(f"{part.source}: is single-label and {first.source} multi-label, or vice versa")
    differing = (part.targets[order] != first.targets).reshape(len(order), -1).any(axis=1)
    if differing.any():
        names = [first.names[place] if first.names else f"video {place + 1}" for place in np.flatnonzero(differing)]
        raise DataError(
            f"{part.source}: its labels differ from {first.source} for {shown_first(names, 1)}; "
            "evaluate all models on the same list"
        )
