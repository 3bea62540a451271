"""Which clips are confused with which class, and which clips to look at."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from itertools import count as counting
from pathlib import Path
from urllib.parse import quote

import numpy as np

from trishift.data.parts import split_part
from trishift.errors import DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import to_probabilities

_MOST_CLASSES = 30  # of a whole matrix; of more classes, only pairs are shown
_MOST_PAIRS = 40
_MOST_CLIPS = 25  # listed per pair
_AT_ONCE = 1024  # clips whose probabilities are computed together


@dataclass(frozen=True)
class Clip:
    """A scored clip.

    Attributes:
        index: its place in the evaluation.
        name: its path as text.
        true, predicted: class numbers; with several labels, the most likely false class is `predicted`.
        truth: probability of the true class, of several the least likely.
        confidence: probability of the predicted class.
    """

    index: int
    name: str
    true: tuple[int, ...]
    predicted: int
    truth: float
    confidence: float


@dataclass(frozen=True)
class Pair:
    """Clips of a true class for which another, or the same, is predicted."""

    true: int
    predicted: int
    count: int
    share: float
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Confusions:
    """The confusion matrix as pairs.

    Attributes:
        pairs: all pairs with clips, or the most frequent mistakes.
        rows: for few classes, per true class its cells: (predicted class, pair or None).
        left_out: number of pairs of mistakes that are not listed.
    """

    pairs: tuple[Pair, ...]
    rows: tuple[tuple[int, tuple[Pair | None, ...]], ...]
    left_out: int


def clips_of(evaluation: Evaluation) -> list[Clip]:
    """All clips of an evaluation."""
    return [clip for start in range(0, len(evaluation.names), _AT_ONCE) for clip in _some_clips(evaluation, start)]


def _some_clips(evaluation: Evaluation, start: int) -> list[Clip]:
    part = slice(start, start + _AT_ONCE)
    chances = to_probabilities(
        evaluation.scores[part].astype(np.float64) / evaluation.temperature, evaluation.multi_label
    )
    rows = zip(counting(start), evaluation.names[part], chances, evaluation.targets[part], strict=False)
    if evaluation.multi_label:
        return [_several(index, name, row, truth > 0) for index, name, row, truth in rows]
    best = evaluation.scores[part].argmax(axis=1)
    return [
        Clip(index, name, (int(truth),), int(top), float(row[truth]), float(row[top]))
        for (index, name, row, truth), top in zip(rows, best, strict=True)
    ]


def _several(index: int, name: str, chances: np.ndarray, truth: np.ndarray) -> Clip:
    wrong = np.where(truth, -1.0, chances)
    worst = int(wrong.argmax())
    least = float(chances[truth].min()) if truth.any() else 1.0
    return Clip(index, name, tuple(np.flatnonzero(truth).tolist()), worst, least, float(max(wrong[worst], 0)))


def address(name: str, folder: Path) -> str | None:
    """The address of a clip's file from a page in a folder; None if there is no such file."""
    try:
        path = split_part(Path(name))[0]
        return quote(os.path.relpath(path.resolve(), folder.resolve()).replace(os.sep, "/")) if path.exists() else None
    except (OSError, ValueError, DataError):  # a name that cannot be a path
        return None


def confusions(evaluation: Evaluation, clips: list[Clip]) -> Confusions:
    """The pairs of a single-label evaluation."""
    cells: dict[tuple[int, int], list[Clip]] = defaultdict(list)
    totals: dict[int, int] = defaultdict(int)
    for clip in clips:
        cells[clip.true[0], clip.predicted].append(clip)
        totals[clip.true[0]] += 1
    pairs = {
        (true, predicted): Pair(true, predicted, len(members), len(members) / totals[true],
                                tuple(sorted(members, key=lambda clip: -clip.confidence)[:_MOST_CLIPS]))
        for (true, predicted), members in cells.items()
    }  # fmt: skip
    classes = range(len(evaluation.labels))
    if len(classes) <= _MOST_CLASSES:
        rows = tuple((true, tuple(pairs.get((true, predicted)) for predicted in classes)) for true in classes)
        return Confusions(tuple(pairs[key] for key in sorted(pairs)), rows, 0)
    wrong = [pair for pair in pairs.values() if pair.true != pair.predicted]
    wrong.sort(key=lambda pair: (-pair.count, -pair.share, pair.true, pair.predicted))
    return Confusions(tuple(wrong[:_MOST_PAIRS]), (), max(0, len(wrong) - _MOST_PAIRS))


def confident_mistakes(clips: list[Clip], count: int) -> list[Clip]:
    """The wrong clips whose prediction is the surest."""
    wrong = [clip for clip in clips if _is_wrong(clip)]
    return sorted(wrong, key=lambda clip: (-clip.confidence, clip.index))[:count]


def hardest(clips: list[Clip], count: int, without: list[Clip]) -> list[Clip]:
    """The clips whose true class is the least likely, without those of another list."""
    left = {clip.index for clip in without}
    return sorted((clip for clip in clips if clip.index not in left), key=lambda clip: (clip.truth, clip.index))[:count]


def _is_wrong(clip: Clip) -> bool:
    """Whether a false class is the most likely one, or more likely than a true one."""
    return clip.predicted not in clip.true and clip.confidence >= clip.truth
