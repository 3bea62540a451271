"""Run a model over a list of videos under a protocol and keep every score.

A video's score is the mean logits of its views (clips x crops), as in the originals. Unreadable videos are never
replaced by others: they are listed by name as misses and excluded from the metrics, like those whose scores are not
finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np

from trishift.backends.contract import Predictor
from trishift.data.dataset import EvaluationSet
from trishift.data.loader import Batch, Loader
from trishift.errors import DataError
from trishift.evaluation.metrics import (
    Metrics,
    MultiLabelMetrics,
    calibration_error,
    mean_nll,
    multi_label_metrics,
    single_label_metrics,
    to_probabilities,
)
from trishift.evaluation.thresholds import choose_thresholds
from trishift.io.wording import counted
from trishift.model.pixels import Normalization
from trishift.model.relations import prediction_relations

_MISSED = -2  # minus the index of a video that could not be read; that of padding is -1, and so becomes -1


@dataclass(frozen=True)
class Evaluation:
    """Scores of V videos and their metrics.

    Attributes:
        protocol: description of the evaluation protocol.
        labels: K class names.
        names: V video names, in list order.
        scores: (V, K) float32 logits, averaged over views.
        targets: (V,) class indices, or (V, K) zeros and ones.
        misses: (name, reason) of the videos that could not be scored.
        groups: V groups of videos that belong together, in list order; None: unknown.
        temperature: that of the model's calibration. It changes no metric, but the reliability.
    """

    protocol: str
    labels: tuple[str, ...]
    names: list[str]
    scores: np.ndarray
    targets: np.ndarray
    misses: list[tuple[str, str]]
    groups: list[str] | None = None
    temperature: float = 1.0

    @property
    def multi_label(self) -> bool:
        """Whether videos can have several labels."""
        return self.targets.ndim == 2

    @cached_property
    def metrics(self) -> Metrics | MultiLabelMetrics:
        """Metrics over the scored videos; in multi-label tasks, over those with at least one label."""
        return (multi_label_metrics if self.multi_label else single_label_metrics)(self.scores, self.targets)

    @cached_property
    def thresholds(self) -> np.ndarray | None:
        """(K,) probabilities that separate these videos best, see `thresholds.py`; None for single-label tasks."""
        return choose_thresholds(self.scores, self.targets) if self.multi_label and self.measurable else None

    @property
    def measurable(self) -> bool:
        """Whether there are metrics; parts of a list can lack videos or labels."""
        return bool(self.names) and (not self.multi_label or bool(self.targets.any()))

    def check(self) -> None:
        """Refuse to measure nothing.

        Raises:
            DataError: no video could be read, or none has a label.
        """
        if not self.names:
            raise DataError(
                f"none of the {counted(len(self.misses), 'video')} could be read; first: {self.misses[0][1]}"
            )
        if self.multi_label and not self.targets.any():
            count = counted(len(self.names), "video")
            raise DataError(f"none of the {count} has a label; there is nothing to measure, check the list")

    def summary(self) -> dict[str, Any]:
        """Everything except scores and thresholds, as JSON types."""
        unlabeled = {"unlabelled": int((~self.targets.any(axis=1)).sum())} if self.multi_label else {}
        return {
            "protocol": self.protocol,
            "videos": len(self.names),
            "missed": len(self.misses),
            **unlabeled,
            "misses": [{"name": name, "reason": reason} for name, reason in self.misses],
            **(asdict(self.metrics) if self.measurable else {}),
        }

    @property
    def reliability(self) -> dict[str, float]:
        """Calibration error and mean negative log-likelihood; if they are calibrated, those of the raw ones as well.

        Empty if they are undefined.
        """
        known = self.multi_label or bool((self.targets >= 0).all())
        if not (self.measurable and known and np.isfinite(self.scores).all()):
            return {}
        own = self._reliability(self.temperature)
        if self.temperature == 1:
            return own
        raw = {f"raw_{name}": value for name, value in self._reliability(1.0).items()}
        return {**own, **raw}

    def _reliability(self, temperature: float) -> dict[str, float]:
        logits = self.scores.astype(np.float64) / temperature
        error = calibration_error(to_probabilities(logits, self.multi_label), self.targets)
        return {"calibration_error": error, "nll": mean_nll(logits, self.targets)}

    @property
    def figures(self) -> str:
        """The metrics in one line."""
        return self.metrics.text(self.scores.shape[1]) if self.measurable else "nothing to measure"

    def __str__(self) -> str:
        missed = f", {len(self.misses)} missed" if self.misses else ""
        return f"{self.figures}  ({counted(len(self.names), 'video')}{missed}; {self.protocol})"


def evaluate(session: Predictor, dataset: EvaluationSet, *, batch_size: int, workers: int) -> Evaluation:
    """Score every video of a labeled dataset, see `score_videos`.

    Raises:
        DataError: no video could be read, or none has a label.
    """
    evaluation = evaluate_part(session, dataset, range(len(dataset)), batch_size=batch_size, workers=workers)
    evaluation.check()
    return evaluation


def evaluate_part(
    session: Predictor, dataset: EvaluationSet, indices: Sequence[int], *, batch_size: int, workers: int
) -> Evaluation:
    """Score some videos of a labeled dataset, perhaps none; see `score_videos` and `joined`."""
    scores, scored = score_videos(session, dataset, batch_size=batch_size, workers=workers, only=indices)
    finite = np.isfinite(scores).all(axis=1)
    kept = [index for index in indices if scored[index] and finite[index]]
    targets = np.array([dataset.target(index) for index in kept])
    empty = np.zeros((0, dataset.num_classes), np.float32) if dataset.multi_label else np.zeros(0, np.int64)
    return Evaluation(
        protocol=str(dataset.protocol),
        labels=tuple(dataset.labels),
        names=[dataset.name(i) for i in kept],
        scores=scores[kept],
        targets=targets if kept else empty,
        misses=_misses(dataset, [index for index in indices if not (scored[index] and finite[index])], scored),
        groups=[dataset.group(index) for index in kept],
    )


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of a list from the evaluations of all its parts, in order."""
    known = all(part.groups is not None for part in parts if part.names)
    return replace(
        parts[0],
        names=[name for part in parts for name in part.names],
        scores=np.concatenate([part.scores for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        misses=[miss for part in parts for miss in part.misses],
        groups=[group for part in parts for group in part.groups or ()] if known else None,
    )


def _misses(dataset: EvaluationSet, indices: Sequence[int], scored: np.ndarray) -> list[tuple[str, str]]:
    """(name, reason) of videos without usable scores; each rank knows only the reasons for its own videos."""
    reasons = dict(dataset.misses())
    elsewhere = "could not be read by another process; evaluate in one process to see why"
    infinite = "its scores are infinite or not numbers; check the weights, or use fp32"
    misses = []
    for index in indices:
        name = dataset.name(index)
        misses.append((name, reasons.get(name, f"{name}: {infinite if scored[index] else elsewhere}")))
    return misses


def score_videos(
    session: Predictor,
    dataset: EvaluationSet,
    *,
    batch_size: int,
    workers: int,
    only: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of every video of a dataset; every rank must call this and gets the full result.

    Args:
        session: the network.
        dataset: videos, V views each.
        batch_size: videos per loader batch and views per forward pass, on each rank.
        workers: threads or processes that read clips.
        only: indices of the videos to score; None: all.

    Returns:
        (V, K) float32 logits averaged over views, and (V,) bool: which videos could be read.
    """
    scores = np.zeros((len(dataset), session.spec.num_classes), np.float32)
    scored = np.zeros(len(dataset), bool)
    for index, row in iter_scores(session, dataset, batch_size=batch_size, workers=workers, only=only):
        scores[index], scored[index] = row, True
    return scores, scored


def iter_scores(
    session: Predictor,
    dataset: EvaluationSet,
    *,
    batch_size: int,
    workers: int,
    only: Sequence[int] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index, (K,) float32 logits) of each readable video as soon as it is scored; see `score_videos`."""
    for indices, logits, _ in score_batches(session, dataset, batch_size=batch_size, workers=workers, only=only):
        yield from zip(indices.tolist(), logits, strict=True)


def score_batches(
    session: Predictor,
    dataset: EvaluationSet,
    *,
    batch_size: int,
    workers: int,
    only: Sequence[int] | np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, list[int]]]:
    """Yield the indices and (R, K) float32 logits of each batch, and the unreadable videos; see `iter_batches`."""
    relations = prediction_relations(session.spec)

    def predict(clips: np.ndarray) -> np.ndarray:
        return session.predict(clips, relations)

    accepts = session.accept_pixels
    return iter_batches(session, dataset, predict, batch_size=batch_size, workers=workers, only=only, accepts=accepts)


def iter_videos(
    session: Predictor,
    dataset: EvaluationSet,
    compute: Callable[[np.ndarray], np.ndarray],
    *,
    batch_size: int,
    workers: int,
    only: Sequence[int] | None = None,
    accepts: Callable[[Normalization], bool] = lambda _: False,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index, result averaged over views) of each readable video; see `iter_batches`."""
    batches = iter_batches(
        session, dataset, compute, batch_size=batch_size, workers=workers, only=only, accepts=accepts
    )
    for indices, results, _ in batches:
        yield from zip(indices.tolist(), results, strict=True)


def iter_batches(
    session: Predictor,
    dataset: EvaluationSet,
    compute: Callable[[np.ndarray], np.ndarray],
    *,
    batch_size: int,
    workers: int,
    only: Sequence[int] | np.ndarray | None = None,
    accepts: Callable[[Normalization], bool] = lambda _: False,
) -> Iterator[tuple[np.ndarray, np.ndarray, list[int]]]:
    """Compute results of videos; every rank gets all of them.

    Args:
        session: the network, which knows the ranks.
        dataset: videos, V views each.
        compute: results (N, ...) of views (N, T, C, H, W).
        batch_size: videos per loader batch and views per forward pass, on each rank.
        workers: threads or processes that read clips.
        only: indices of the videos to read; None: all.
        accepts: whether `compute` takes uint8 views, see `contract.Predictor.accept_pixels`.

    Yields:
        For each batch, the (R,) indices of its readable videos, their (R, ...) results averaged over views, and the
        indices of the others.
    """
    dataset.normalize_for(accepts)
    loader = Loader(
        dataset,
        batch_size * session.world_size,
        shuffle=False,
        rank=session.rank,
        world_size=session.world_size,
        workers=workers,
        only=only,
    )
    try:
        for batch in loader.batches(0):
            codes, results = _compute_batch(session, compute, batch, batch_size)
            codes, results = session.gather(codes), session.gather(results)
            readable = codes >= 0
            yield codes[readable], results[readable], [_MISSED - int(code) for code in codes[codes <= _MISSED]]
    finally:
        loader.close()


def _compute_batch(
    session: Predictor, compute: Callable[[np.ndarray], np.ndarray], batch: Batch, views_per_pass: int
) -> tuple[np.ndarray, np.ndarray]:
    """Dataset indices (-1 for padding, -2 - index for misses) and view-averaged results of one batch.

    The views of a pass are copied to the device while those of the pass before are computed.
    """
    videos, views = batch.clips.shape[:2]
    clips = batch.clips.reshape(videos * views, *batch.clips.shape[2:])  # (N*V, T, C, H, W)
    passes = [clips[i : i + views_per_pass] for i in range(0, len(clips), views_per_pass)]
    parts = []
    for present, following in zip_longest(passes, passes[1:]):
        if following is not None:
            session.prefetch(following)
        parts.append(compute(present))
    rows = np.concatenate(parts)
    results = rows.reshape(videos, views, *rows.shape[1:]).mean(axis=1)
    return np.where(batch.valid, batch.indices, _MISSED - batch.indices), results
