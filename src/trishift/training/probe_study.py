"""The linear probe over folds: the number to beat, and what its results say about the clips.

Shape legend: N clips, F features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trishift.backends.session import Session
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import EvaluationSet
from trishift.data.prepare.folds import Folds
from trishift.data.prepare.splitting import split
from trishift.evaluation.features import pooled_features
from trishift.evaluation.intervals import Interval, gain, interval, majority_metrics, video_values
from trishift.evaluation.thresholds import ENTRY, choose_thresholds
from trishift.recipe import Recipe, recipe_to_dict
from trishift.training.probe import Probe, fit_probe
from trishift.version import __version__

METRICS = {False: ("top1", "top-1"), True: ("sample_map", "mAP")}  # by multi_label: key and name of the main metric


@dataclass(frozen=True)
class ProbeStudy:
    """Results of the probe on clips that it was not fitted to, and the probe of all clips.

    Attributes:
        folds: the readable clips.
        probe: fitted to all of them.
        logits: (N, K), each row from the fold that validates the clip; NaN if none does.
        of_frames: the same from clips that repeat their middle frame.
        of_half: the same from half of the training clips.
        strengths: chosen in each fold.
    """

    folds: Folds
    probe: Probe
    logits: np.ndarray
    of_frames: np.ndarray
    of_half: np.ndarray
    strengths: list[float]

    @property
    def metric(self) -> tuple[str, str]:
        """Key and name of the main metric."""
        return METRICS[self.folds.multi_label]

    @cached_property
    def validated(self) -> np.ndarray:
        """(N,) bool: clips with a result; with several labels, only those with a label."""
        targets = self.folds.targets
        labeled = targets.any(axis=1) if targets.ndim == 2 else np.ones(len(targets), bool)
        chosen: np.ndarray = self.folds.validated.any(axis=0) & labeled
        return chosen

    def values(self, logits: np.ndarray) -> np.ndarray:
        """The contribution of each validated clip to the main metric."""
        return video_values(logits[self.validated], self.folds.targets[self.validated])

    @property
    def groups(self) -> list[str]:
        """The group of each validated clip."""
        groups: list[str] = np.array(self.folds.groups, object)[self.validated].tolist()
        return groups

    @cached_property
    def result(self) -> Interval:
        """The number to beat."""
        return interval(self.values(self.logits), self.groups)

    def gain_over(self, others: np.ndarray) -> Interval:
        """The interval by which the probe is better than other values of the same clips."""
        return gain(self.values(self.logits), others, self.groups)

    def of_fold(self, number: int, logits: np.ndarray) -> float:
        """The main metric on the clips that a fold validates."""
        chosen = self.folds.validated[number] & self.validated
        return float(video_values(logits[chosen], self.folds.targets[chosen]).mean())

    @cached_property
    def majority(self) -> float:
        """The main metric of always ranking the classes by their frequency."""
        targets = self.folds.targets
        counts = targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=len(self.folds.labels))
        return float(getattr(majority_metrics(counts, targets[self.validated]), self.metric[0]))

    def report(self) -> str:
        """The number to beat with its interval, the baselines, and advice."""
        each = ", ".join(f"{self.of_fold(number, self.logits):.1%}" for number in range(len(self.folds)))
        return "\n".join(
            (
                f"probe: {self.metric[1]} {self.result} on {self.validated.sum()} clips; folds {each}",
                f"always the most frequent class: {self.majority:.1%}",
                self._advice_on_frames(),
                self._advice_on_clips(),
            )
        )

    def _advice_on_frames(self) -> str:
        still = self.values(self.of_frames)
        added = self.gain_over(still)
        advice = "needed" if added.low > 0 else "no clear gain, single frames may suffice"
        return f"one frame per clip: {still.mean():.1%}; motion adds {_points(added)}, {advice}"

    def _advice_on_clips(self) -> str:
        half = self.values(self.of_half)
        added = self.gain_over(half)
        advice = "more clips would help" if added.low > 0 else "no clear sign that more clips would help"
        return f"half of the training clips: {half.mean():.1%}; the other half adds {_points(added)}, {advice}"

    def summary(self) -> dict[str, Any]:
        """Everything in the report, as JSON types."""
        return {
            "clips": int(self.validated.sum()),
            "groups": len(set(self.folds.groups)),
            "folds": len(self.folds),
            "metric": self.metric[0],
            "probe": {"mean": self.result.mean, "low": self.result.low, "high": self.result.high},
            "interval": self.result.method,
            "each_fold": [self.of_fold(number, self.logits) for number in range(len(self.folds))],
            "majority": self.majority,
            "single_frames": float(self.values(self.of_frames).mean()),
            "half_of_the_clips": float(self.values(self.of_half).mean()),
            "strengths": self.strengths,
        }


def _points(added: Interval) -> str:
    return f"{100 * added.mean:+.1f} points ({100 * added.low:+.1f} to {100 * added.high:+.1f})"


def study_probe(recipe: Recipe, session: Session, folds: Folds) -> ProbeStudy:
    """Fit the probe in every fold and to all clips. Unreadable clips are left out and named.

    Args:
        recipe: determines the frames, the pixels and the seed.
        session: the network; its head is not used.
        folds: the clips.

    Raises:
        DataError: no clip can be read.
    """
    features, kept = read_features(recipe, session, folds, still=True)
    return study_features(features[:, 0], features[:, 1], kept, recipe.train.seed)


def read_features(recipe: Recipe, session: Session, folds: Folds, still: bool = False) -> tuple[np.ndarray, Folds]:
    """Features of the readable clips, see `pooled_features`, and the folds of these; the others are named.

    Raises:
        DataError: no clip can be read.
    """
    reader = ClipReader(recipe.input, recipe.model, template=recipe.data.template)
    dataset = EvaluationSet(folds.records, folds.labels, reader, recipe.evaluation)
    size, workers = recipe.train.batch_size, recipe.data.workers
    features, readable = pooled_features(session, dataset, batch_size=size, workers=workers, still=still)
    for _, reason in dataset.misses():
        print(f"warning: left out: {reason}", flush=True)
    records = tuple(record for record, kept in zip(folds.records, readable, strict=True) if kept)
    return features[readable], replace(folds, records=records, validated=folds.validated[:, readable])


def study_features(whole: np.ndarray, still: np.ndarray, folds: Folds, seed: int = 0) -> ProbeStudy:
    """`study_probe` for (N, F) features of the clips, and of their middle frames."""
    targets, groups, classes = folds.targets, np.array(folds.groups, object), len(folds.labels)
    logits, of_frames, of_half = np.full((3, len(targets), classes), np.nan)
    strengths = []

    def fit(features: np.ndarray, chosen: np.ndarray, strength: float | None = None) -> Probe:
        members = groups[chosen].tolist()
        return fit_probe(features[chosen], targets[chosen], classes, members, strength=strength, seed=seed)

    for val in folds.validated:
        train = np.flatnonzero(~val)
        probe = fit(whole, train)
        strengths.append(probe.strength)
        logits[val] = probe.logits(whole[val])
        of_frames[val] = fit(still, train, probe.strength).logits(still[val])
        of_half[val] = fit(whole, _half(train, targets, groups, seed), probe.strength).logits(whole[val])
    everything = fit(whole, np.arange(len(targets)))
    return ProbeStudy(folds, everything, logits, of_frames, of_half, strengths)


def _half(train: np.ndarray, targets: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """About half of the training clips, stratified, in whole groups."""
    classes = targets if targets.ndim == 1 else targets.argmax(axis=1)
    half = train[split(classes[train].tolist(), groups[train].tolist(), [0.5, 0.5], seed) == 0]
    usable = len(half) and (targets.ndim == 2 or len(np.unique(targets[half])) > 1)
    return half if usable else train


def save_probe(path: Path, recipe: Recipe, session: Session, study: ProbeStudy) -> None:
    """Write the network with the probe of all clips as its head, a checkpoint for every command."""
    tensors = {**session.dump_tensors(), **study.probe.tensors()}
    result = {study.metric[0]: study.result.mean}
    meta = {"recipe": recipe_to_dict(recipe), "framework": session.framework, "version": __version__, "metrics": result}
    if study.folds.multi_label:
        logits, targets = study.logits[study.validated], study.folds.targets[study.validated]
        meta[ENTRY] = choose_thresholds(logits, targets).tolist()
    save(path, Checkpoint(tensors, recipe.model, recipe.input, study.folds.labels, meta))
