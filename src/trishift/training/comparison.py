"""Fine-tuning against the probe on the same clips: a table, intervals and a choice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.intervals import Interval, gain, interval
from trishift.evaluation.thresholds import ENTRY, choose_thresholds
from trishift.io.text_table import aligned
from trishift.training.probe_study import ProbeStudy


@dataclass(frozen=True)
class Comparison:
    """Fine-tuning against the probe on the same clips.

    Attributes:
        study: results of the probe.
        logits: seed to (N, K) logits of fine-tuning, each row from the fold that validates the clip.
    """

    study: ProbeStudy
    logits: dict[int, np.ndarray]

    @property
    def values(self) -> np.ndarray:
        """The contribution of each validated clip to the main metric, averaged over seeds."""
        mean: np.ndarray = np.mean([self.study.values(logits) for logits in self.logits.values()], axis=0)
        return mean

    @property
    def result(self) -> Interval:
        """The main metric of fine-tuning."""
        return interval(self.values, self.study.groups)

    @property
    def gained(self) -> Interval:
        """The difference to the probe."""
        return gain(self.values, self.study.values(self.study.logits), self.study.groups)

    @property
    def beats_probe(self) -> bool:
        """Whether fine-tuning is better than the probe on these clips."""
        return self.gained.mean > 0

    def rows(self) -> list[tuple[str, list[float], float]]:
        """Per seed and for the probe: name, the main metric of each fold, and that of all clips."""
        folds = range(len(self.study.folds))
        named = {**{str(seed): logits for seed, logits in self.logits.items()}, "probe": self.study.logits}
        return [
            (name, [self.study.of_fold(fold, logits) for fold in folds], float(self.study.values(logits).mean()))
            for name, logits in named.items()
        ]

    def table(self) -> str:
        """One row per seed and one for the probe, one column per fold."""
        head = ("seed", *(f"fold {fold}" for fold in range(len(self.study.folds))), "mean")
        rows = [(name, *(f"{value:.1%}" for value in (*each, mean))) for name, each, mean in self.rows()]
        return "\n".join(aligned([head, *rows], ">"))

    def by_fold(self) -> dict[str, Any]:
        """The table and the choice as JSON types, for the report of the held-out clips."""
        return {"metric": self.study.metric[1], "rows": self.rows(), "verdict": self.verdict()}

    def verdict(self) -> str:
        """What was reached, and which model is shipped."""
        points = f"{100 * self.gained.mean:+.1f} points ({100 * self.gained.low:+.1f} to {100 * self.gained.high:+.1f})"
        if not self.beats_probe:
            return f"fine-tuning does not beat the probe ({points}): the probe is shipped"
        sure = (
            ""
            if self.gained.low > 0
            else "; the interval includes zero, so more clips, folds or seeds may decide otherwise"
        )
        return f"fine-tuning beats the probe by {points}{sure}: the network trained on all clips is shipped"

    def summary(self) -> dict[str, Any]:
        """Everything that is printed, as JSON types."""
        return {
            "probe": self.study.summary(),
            "finetuned": {k: v for k, v in asdict(self.result).items() if k != "method"},
            "gain": {k: v for k, v in asdict(self.gained).items() if k != "method"},
            "each_run": {name: each for name, each, _ in self.rows() if name != "probe"},
            "shipped": "finetuned" if self.beats_probe else "probe",
        }

    def held_out(self, protocol: str) -> Evaluation:
        """Every clip by the network or probe of the fold that held it out, of the kind that is shipped.

        Args:
            protocol: description of the evaluation protocol.
        """
        folds = self.study.folds
        logits = next(iter(self.logits.values())) if self.beats_probe else self.study.logits
        known = np.isfinite(logits).all(axis=1)
        names, groups = (np.array(all_, object)[known].tolist() for all_ in (folds.names, folds.groups))
        scores = logits[known].astype(np.float32)
        return Evaluation(protocol, folds.labels, names, scores, folds.targets[known], [], groups)

    def thresholds(self) -> dict[str, list[float]]:
        """Thresholds from the clips of all folds, for models with several labels."""
        if not self.study.folds.multi_label:
            return {}
        logits = np.mean(list(self.logits.values()), axis=0)[self.study.validated]
        return {ENTRY: choose_thresholds(logits, self.study.folds.targets[self.study.validated]).tolist()}
