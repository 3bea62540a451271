"""Tests of two models on the same videos.

Shape legend: V videos, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trishift.errors import DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.intervals import Interval, gain, interval, video_values
from trishift.io.wording import counted


@dataclass(frozen=True)
class Shared:
    """Evaluations of the same videos, in the same order.

    Attributes:
        evaluations: restricted to the videos that all of them scored.
        left_out: per evaluation, how many of its videos another one lacks.
    """

    evaluations: tuple[Evaluation, ...]
    left_out: tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """A model against another on the same videos.

    Attributes:
        gain: the difference of their main metric, with its interval over groups.
        better, worse: videos that only this model, or only the other one, gets right; with several labels, videos with
            a higher or lower average precision.
        p_value: of McNemar's exact test, that such a difference or a larger one is chance. It takes videos as
            independent; with groups, trust the interval. None for several seeds: it needs one decision per video.
    """

    gain: Interval
    better: int
    worse: int
    p_value: float | None


def shared_videos(evaluations: Sequence[Evaluation], sources: Sequence[str]) -> Shared:
    """Restrict evaluations to the videos that all of them scored.

    Args:
        evaluations: two or more.
        sources: name each of them in errors.

    Raises:
        DataError: they have other classes or other labels, or no video in common.
    """
    first = evaluations[0]
    places = [{name: place for place, name in enumerate(each.names)} for each in evaluations]
    names = [name for name in first.names if all(name in others for others in places[1:])]
    for each, source in zip(evaluations, sources, strict=True):
        if each.labels != first.labels:
            raise DataError(f"{source}: has other classes than {sources[0]}; compare runs of one data set")
        if each.multi_label != first.multi_label:
            raise DataError(
                f"only one of {source} and {sources[0]} has several labels per clip; compare runs of one task"
            )
    if not names:
        apart = next((s for s, place in zip(sources, places, strict=True) if not place.keys() & places[0].keys()), None)
        runs = f"{apart} and {sources[0]} have" if apart else f"{', '.join(sources)}: these runs have"
        raise DataError(f"{runs} no clip in common; evaluate all on one list")
    restricted: list[Evaluation] = []
    for each, place, source in zip(evaluations, places, sources, strict=True):
        restricted.append(_restricted(each, [place[name] for name in names]))
        different = restricted[-1].targets != restricted[0].targets
        if different.any():
            name = names[int(np.flatnonzero(different.reshape(len(names), -1).any(axis=1))[0])]
            raise DataError(f"{source}: {name} has another label than in {sources[0]}; evaluate both on one list")
    return Shared(tuple(restricted), tuple(len(each.names) - len(names) for each in evaluations))


def _restricted(evaluation: Evaluation, chosen: list[int]) -> Evaluation:
    groups = None if evaluation.groups is None else [evaluation.groups[place] for place in chosen]
    return Evaluation(
        evaluation.protocol,
        evaluation.labels,
        [evaluation.names[place] for place in chosen],
        evaluation.scores[chosen],
        evaluation.targets[chosen],
        evaluation.misses,
        groups,
        evaluation.temperature,
    )


def main_interval(evaluations: Sequence[Evaluation]) -> Interval:
    """The main metric of one model, or the mean over models that differ in their seed, on the same videos."""
    values, groups = _values(evaluations)
    return interval(values, groups)


def compare(ours: Sequence[Evaluation], theirs: Sequence[Evaluation]) -> Difference:
    """Compare models, each one or several seeds, on the same videos.

    Example:
        >>> from trishift.evaluation.paired import p_value
        >>> round(p_value(8, 1), 4)
        0.0391
    """
    (values, groups), (others, _) = _values(ours), _values(theirs)
    better, worse = int((values > others).sum()), int((values < others).sum())
    chance = p_value(better, worse) if len(ours) == len(theirs) == 1 else None
    return Difference(gain(values, others, groups), better, worse, chance)


def _values(evaluations: Sequence[Evaluation]) -> tuple[np.ndarray, list[str] | None]:
    """Contributions of the videos to the main metric, averaged over seeds, and their groups."""
    first = evaluations[0]
    values = np.mean([video_values(each.scores, each.targets) for each in evaluations], axis=0)
    if first.groups is None or not first.multi_label:
        return values, first.groups
    return values, [group for group, row in zip(first.groups, first.targets, strict=True) if row.any()]


def p_value(better: int, worse: int) -> float:
    """McNemar's exact test, two-sided: the chance of a split at least as uneven if both were equally likely."""
    total, few = better + worse, min(better, worse)
    if better == worse:
        return 1.0
    logs = (math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(few + 1))
    return min(1.0, 2 * sum(math.exp(each - total * math.log(2)) for each in logs))


def left_out_note(shared: Shared, sources: Sequence[str]) -> str:
    """A sentence about videos that are not compared; empty if there are none."""
    if not any(shared.left_out):
        return ""
    lost = ", ".join(f"{count} of {source}" for count, source in zip(shared.left_out, sources, strict=True) if count)
    return f"compared on the {counted(len(shared.evaluations[0].names), 'clip')} that all have; left out: {lost}"
