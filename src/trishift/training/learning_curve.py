"""Learning curve: accuracy against the number of training clips, and what more of them are worth.

The error of a classifier usually falls as a power of the number of its training clips, e(n) = a + b n**-c with a floor
a (Hestness et al. 2017, arXiv:1712.00409). It is measured with the linear probe, whose features are computed once.

Shape legend: N clips, F features, V validated clips, S sizes of the training set, K classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trishift.data.prepare.checking import check_clips
from trishift.data.prepare.folds import Folds
from trishift.data.prepare.similarity import similar_clips
from trishift.errors import DataError
from trishift.evaluation.intervals import CONFIDENCE, Interval, interval, video_values
from trishift.io.wording import counted, shown_first
from trishift.training.probe import fit_probe
from trishift.training.probe_study import METRICS

SHARES = (0.1, 0.25, 0.5, 1.0)
_DRAWS = 5  # subsets of each size
_POWERS = np.linspace(0.05, 2.0, 40)
_RESAMPLES = 500
_CLOSE = 0.002  # of the error: with so little to gain, the curve is flat


@dataclass(frozen=True)
class PowerLaw:
    """The error of n training clips, floor + scale * n ** -power."""

    floor: float
    scale: float
    power: float

    def __call__(self, clips: float | np.ndarray) -> Any:
        """The error of training sets of such sizes."""
        return self.floor + self.scale * np.asarray(clips, float) ** -self.power


def fit_power_law(sizes: np.ndarray, errors: np.ndarray) -> PowerLaw:
    """The power law with the least squared error, with a floor and a scale that are not negative.

    Args:
        sizes: (S,) numbers of training clips.
        errors: (S,).
    """
    x = (sizes / sizes.max()) ** -_POWERS[:, None]  # (powers, S), about 1, so that floor and scale weigh alike
    centered = x - x.mean(axis=1, keepdims=True)
    spread = np.maximum(np.square(centered).sum(axis=1), np.finfo(float).tiny)
    free = (centered * errors).sum(axis=1) / spread
    floors = errors.mean() - free * x.mean(axis=1)
    allowed = (free >= 0) & (floors >= 0)
    through_zero = (x * errors).sum(axis=1) / np.square(x).sum(axis=1)
    flat = np.full_like(free, errors.mean())
    none = np.zeros_like(free)
    floor = np.stack([np.where(allowed, floors, flat), none, flat])  # one of the three is best
    scale = np.stack([np.where(allowed, free, none), through_zero, none])
    residuals = np.square(floor[..., None] + scale[..., None] * x - errors).sum(axis=2)
    best = np.unravel_index(residuals.argmin(), residuals.shape)
    power = float(_POWERS[best[1]])
    return PowerLaw(float(floor[best]), float(scale[best]) * float(sizes.max()) ** power, power)


@dataclass(frozen=True)
class LearningCurve:
    """Results of probes of several sizes.

    Attributes:
        folds: the readable clips.
        sizes: (S,) mean numbers of training clips.
        values: (S, V) contributions of the validated clips to the main metric, averaged over draws.
        groups: V groups.
        alike: sets of clips of several groups that look alike.
        leaked: (V,) bool: validated clips that look like a training clip.
        learner: what learned from the clips: `probe`, or `training` of the whole network.
    """

    folds: Folds
    sizes: np.ndarray
    values: np.ndarray
    groups: list[str]
    alike: Sequence[frozenset[Path]]
    leaked: np.ndarray
    learner: str = "probe"

    @property
    def metric(self) -> tuple[str, str]:
        """Key and name of the main metric."""
        return METRICS[self.folds.multi_label]

    @cached_property
    def results(self) -> list[Interval]:
        """The main metric of every size."""
        return [interval(row, self.groups) for row in self.values]

    @cached_property
    def law(self) -> PowerLaw:
        """The power law of the errors."""
        return fit_power_law(self.sizes, 1 - self.values.mean(axis=1))

    @cached_property
    def _resampled(self) -> list[PowerLaw]:
        """Power laws of resampled groups; empty for a single group, which says nothing about others."""
        names, place = np.unique(self.groups, return_inverse=True)
        if len(names) < 2:
            return []
        sums = np.stack([np.bincount(place, row) for row in self.values], axis=1)  # (groups, S)
        counts = np.bincount(place)
        rng = np.random.default_rng(0)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), _RESAMPLES)
        means = (drawn @ sums) / (drawn @ counts)[:, None]
        return [fit_power_law(self.sizes, 1 - row) for row in means]

    def worth(self, more: int) -> Interval:
        """What more clips add to the main metric of a model that is trained on all clips."""
        total = len(self.folds.records)

        def added(law: PowerLaw) -> float:
            return float(law(total) - law(total + more))

        gains = [added(law) for law in self._resampled]
        low, high = np.quantile(gains, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) if gains else (0.0, 1.0)
        return Interval(added(self.law), float(low), float(high), "power law, bootstrap over groups")

    def report(self, more: int) -> str:
        """The curve, what more clips are worth, and the effect of near-duplicates."""
        lines = [
            f"{round(size):6} training clips: {self.metric[1]} {result}"
            for size, result in zip(self.sizes, self.results, strict=True)
        ]
        return "\n".join([*lines, self._words(more), self.duplicates()])

    def _words(self, more: int) -> str:
        added, law, total = self.worth(more), self.law, len(self.folds.records)
        fitted = f"error = {law.floor:.3f} + {law.scale:.3g} * clips ** -{law.power:.2f}"
        if not self._resampled:
            return f"{fitted}; a single group says nothing about new clips, name --groups"
        text = f"{100 * added.mean:+.1f} points ({100 * added.low:+.1f} to {100 * added.high:+.1f})"
        doubt = "" if added.low > _CLOSE else "; the interval includes zero, so better features may help more"
        return f"{more} more clips, beyond {total}, are worth {text}{doubt}; fitted: {fitted}"

    def duplicates(self) -> str:
        """The near-duplicates across groups, and their effect."""
        count = int(self.leaked.sum())
        if not count:
            return "no clip looks like a training clip of another group"
        full = self.values[-1]
        rest = full[~self.leaked]
        pairs = shown_first([" and ".join(sorted(map(str, clips))) for clips in self.alike], 3)
        without = f"{rest.mean():.1%} without them" if len(rest) else "no other clips are left"
        alone = f"{full[self.leaked].mean():.1%} on them alone"
        return (
            f"{counted(count, 'validated clip looks', 'validated clips look')} like training clips of another group: "
            f"{self.metric[1]} {full.mean():.1%} with them, {without}, {alone}; put them into one group or remove "
            f"one of each: {pairs}"
        )

    def summary(self, more: int) -> dict[str, Any]:
        """Everything as JSON types."""
        added, full = self.worth(more), self.values[-1]
        rest = full[~self.leaked]
        return {
            "learner": self.learner,
            "metric": self.metric[0],
            "clips": len(self.folds.records),
            "sizes": self.sizes.tolist(),
            "results": [{"mean": each.mean, "low": each.low, "high": each.high} for each in self.results],
            "law": {"floor": self.law.floor, "scale": self.law.scale, "power": self.law.power},
            "more": {"clips": more, "mean": added.mean, "low": added.low, "high": added.high},
            "near_duplicates": [sorted(map(str, clips)) for clips in self.alike],
            "without_near_duplicates": float(rest.mean()) if len(rest) else None,
        }


def learning_curve(
    features: np.ndarray, folds: Folds, alike: Sequence[frozenset[Path]] = (), seed: int = 0
) -> LearningCurve:
    """Fit the probe to shares of the training clips of every fold, in whole groups.

    Args:
        features: (N, F), averaged over the frames of each clip.
        folds: the clips.
        alike: sets of clips that look alike, see `near_duplicates`.
        seed: of the subsets.

    Raises:
        DataError: a fold cannot be trained: its clips are all of one class.
    """
    check_classes(folds)
    targets, groups, classes = folds.targets, np.array(folds.groups, object), len(folds.labels)
    rng = np.random.default_rng(seed)
    values, counts = np.zeros((len(SHARES), len(targets))), np.zeros(len(SHARES), int)
    labeled = has_label(targets)
    for val in folds.validated:
        train, own = np.flatnonzero(~val), val & labeled
        strength = fit_probe(features[train], targets[train], classes, groups[train].tolist(), seed=seed).strength
        for place, share in enumerate(SHARES):
            draws = _DRAWS if share < 1 else 1
            for _ in range(draws):
                chosen = some_groups(train, targets, groups, share, rng)
                members = groups[chosen].tolist()
                probe = fit_probe(features[chosen], targets[chosen], classes, members, strength=strength)
                values[place, own] += video_values(probe.logits(features[own]), targets[own]) / draws
                counts[place] += len(chosen) * _DRAWS // draws
    sizes = counts / (_DRAWS * len(folds))  # exact, as far as a quotient is
    validated, leaked = folds.validated.any(axis=0) & labeled, leaking(folds, alike)
    return LearningCurve(folds, sizes, values[:, validated], groups[validated].tolist(), alike, leaked[validated])


def check_classes(folds: Folds) -> None:
    """Refuse clips that are all of one class.

    Raises:
        DataError: they are.
    """
    if len(folds.labels) < 2:
        raise DataError(f"{folds.name}: there is only one class, so nothing to learn; add clips of other classes")


def has_label(targets: np.ndarray) -> np.ndarray:
    """(N,) bool: clips with a label."""
    labeled: np.ndarray = targets.any(axis=1) if targets.ndim == 2 else np.ones(len(targets), bool)
    return labeled


def leaking(folds: Folds, alike: Sequence[frozenset[Path]]) -> np.ndarray:
    """(N,) bool: clips that look like a training clip of the fold that validates them."""
    paths = [record.path for record in folds.records]
    leaked = np.zeros(len(paths), bool)
    for val in folds.validated:
        trained = {paths[index] for index in np.flatnonzero(~val)}
        found = {clip for clips in alike if clips & trained for clip in clips - trained}
        leaked |= val & np.array([path in found for path in paths])
    return leaked


def some_groups(
    train: np.ndarray, targets: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Whole groups in random order until a share of the clips is reached, with two or more classes."""
    if share >= 1:
        return train
    order = rng.permutation(np.unique(groups[train].astype(str)))
    wanted, chosen = max(2.0, share * len(train)), np.zeros(0, np.int64)
    for name in order:
        members = train[groups[train] == name]
        is_usable = targets.ndim == 2 or len(np.unique(targets[chosen])) > 1
        if is_usable and len(chosen) + len(members) / 2 > wanted:
            break
        chosen = np.concatenate([chosen, members])
    return np.sort(chosen)


def near_duplicates(folds: Folds) -> list[frozenset[Path]]:
    """Sets of clips of several groups that look alike. A few frames of each clip are decoded."""
    paths = [record.path for record in folds.records]
    checked = check_clips(Path(), paths, sampled=True)
    signatures = {path: found for path in paths if (found := checked[path].signature) is not None}
    first = similar_clips(signatures, Path())
    alike: defaultdict[Path, set[Path]] = defaultdict(set)
    for clip, original in first.items():
        alike[original] |= {clip, original}
    groups = dict(zip(paths, folds.groups, strict=True))
    return [frozenset(clips) for clips in alike.values() if len({groups[clip] for clip in clips}) > 1]
