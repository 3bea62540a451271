"""The charts of a report."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import reliability_bins, to_probabilities
from trishift.reporting.pages.charts import COLORS, Chart, Draw, style
from trishift.reporting.report.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 300  # per curve; more are averaged
Points = tuple[np.ndarray, ...]  # x and y


def curves(subject: Subject) -> list[Chart]:
    """Charts of loss, accuracy and learning rate over the epochs of a run; none for other subjects."""
    if not subject.steps:
        return []
    per_epoch = _steps_per_epoch(subject)
    loss = {"training": _of_steps(subject, "loss", per_epoch), "validation (NLL)": _of_epochs(subject, "nll")}
    panels: list[Draw] = [partial(_lines, title="Loss", series=loss)]
    name, text = ("sample_map", "mAP") if any("sample_map" in r for r in subject.evaluations) else ("top1", "top-1")
    accuracy = {"training": _of_steps(subject, name, per_epoch), "validation": _of_epochs(subject, name)}
    known = {which: points for which, points in accuracy.items() if len(points[0])}
    title = f"{text} (%)" if len(known) > 1 else f"{'Training' if 'training' in known else 'Validation'} {text} (%)"
    panels.append(partial(_lines, title=title[:1].upper() + title[1:], series=known, factor=100.0))
    rate = {"learning rate": _of_steps(subject, "lr", per_epoch)}
    panels.append(partial(_lines, title="Learning rate", series=rate, lowest=0.0))
    return [Chart(panel) for panel in panels]


def reliability(evaluation: Evaluation) -> Chart | None:
    """The chart of probabilities against frequencies; None if they are not defined."""
    if not evaluation.reliability:
        return None
    logits = evaluation.scores.astype(np.float64) / evaluation.temperature
    bins = reliability_bins(to_probabilities(logits, evaluation.multi_label), evaluation.targets)
    return Chart(partial(_reliability, bins=bins))


def _steps_per_epoch(subject: Subject) -> int:
    epochs = [step.get("epoch") or 0 for step in subject.steps]
    return int(np.bincount(epochs).max())


def _of_steps(subject: Subject, name: str, per_epoch: int) -> Points:
    """(epoch, value) of the steps, averaged to few points."""
    pairs = [
        ((step["iteration"] + 1) / per_epoch, step[name])
        for step in subject.steps
        if isinstance(step.get(name), int | float)
    ]
    if not pairs:
        return np.zeros(0), np.zeros(0)
    parts = np.array_split(np.array(pairs, float), min(len(pairs), _MOST_POINTS))
    return tuple(np.array([part.mean(axis=0) for part in parts]).T)


def _of_epochs(subject: Subject, name: str) -> Points:
    pairs = [(r["epoch"], r[name]) for r in subject.evaluations if isinstance(r.get(name), int | float)]
    values = np.array(pairs, float).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def _lines(axes: Axes, title: str, series: dict[str, Points], factor: float = 1.0, lowest: float | None = None) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, (label, (x, y)) in enumerate(series.items()):
        if len(x):
            marker = "o" if len(x) <= 40 else ""
            axes.plot(x, factor * y, marker=marker, markersize=4, label=label, **style(number))
    axes.set_title(title)
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if lowest is not None:
        axes.set_ylim(bottom=lowest)
    if len(axes.lines) > 1:
        axes.legend()


def _reliability(axes: Axes, bins: np.ndarray) -> None:
    count, confidence, frequency = bins
    used = count > 0
    edges = np.arange(len(count)) / len(count)
    axes.bar(edges, 100 * count / count.sum(), 1 / len(count), align="edge", color=COLORS["line"],
             label="share of all (%)")  # fmt: skip
    axes.plot([0, 1], [0, 100], color=COLORS["soft"], linewidth=1, linestyle="--", label="perfectly calibrated")
    axes.plot(
        confidence[used], 100 * frequency[used], marker="o", markersize=5, clip_on=False, label="measured", **style(0)
    )
    axes.set_title("How often a probability holds (%)")
    axes.set(xlabel="predicted probability", xlim=(0, 1), ylim=(0, 102))
    axes.legend(loc="upper left")
