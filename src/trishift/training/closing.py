"""The last lines of a training: what was reached, how sure that is, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.intervals import accuracy, majority_metrics
from trishift.training.sinks import read_metrics

_NAMES = {"top1": "top-1", "sample_map": "mAP"}


def closing_report(evaluation: Evaluation, best: Mapping[str, Any], counts: np.ndarray, folder: Path) -> str:
    """Compare the last and the best epoch with the baselines.

    Args:
        evaluation: of the last epoch.
        best: epoch and metrics of the best evaluation; epoch 0 is the probe.
        counts: (K,) training clips per class.
        folder: the run folder.
    """
    main = "sample_map" if evaluation.multi_label else "top1"
    name, last = _NAMES[main], accuracy(evaluation)
    majority = getattr(majority_metrics(counts, evaluation.targets), main)
    baselines = [f"{majority:.1%} by always ranking frequent classes first" if evaluation.multi_label
                 else f"{majority:.1%} by always choosing the most frequent class"]  # fmt: skip
    probes = read_metrics(folder, "probe")
    verdict = ""
    if probes:
        baselines.append(f"{probes[-1][main]:.1%} by the probe it started from")
        verdict = "" if last.mean > probes[-1][main] else "; training did not beat the probe on these clips"
    where = f"epoch {best['epoch']}" if best["epoch"] else "the probe, before training"
    return "\n".join(
        (
            f"last epoch: {name} {last} on {len(evaluation.names)} clips",
            f"best: {name} {best[main]:.1%}, {where}; it was chosen on these clips, so expect less on others",
            f"baselines: {', '.join(baselines)}{verdict}",
        )
    )
