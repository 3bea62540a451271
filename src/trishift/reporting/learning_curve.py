"""The picture of a learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trishift.reporting.pages.charts import COLORS
from trishift.training.learning_curve import LearningCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(curve: LearningCurve, more: int, axes: Axes) -> None:
    """Draw measured points with their intervals, the power law, and where more clips would lead."""
    total = len(curve.folds.records)
    clips = np.geomspace(curve.sizes.min(), total + more, 100)
    axes.plot(clips, 100 * (1 - curve.law(clips)), color=COLORS["blue"], label="power law")
    mean = np.array([100 * each.mean for each in curve.results])
    ends = np.array([[100 * each.low, 100 * each.high] for each in curve.results]).T
    axes.errorbar(
        curve.sizes,
        mean,
        np.abs(ends - mean),
        fmt="o",
        color=COLORS["ink"],
        capsize=3,
        label=f"{curve.learner}, 95 % interval",
    )
    added = curve.worth(more)
    reached = 100 * (1 - float(curve.law(total)) + added.mean)
    ends = np.array([[added.mean - added.low], [added.high - added.mean]]) * 100
    axes.errorbar(
        [total + more], [reached], np.abs(ends), fmt="D", color=COLORS["orange"], capsize=3, label=f"{more} more clips"
    )
    axes.set(xscale="log", xlabel="training clips", ylabel=f"{curve.metric[1]} (%)", title="What more clips are worth")
    ticks = [round(size) for size in curve.sizes] + [total + more]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.legend(loc="best", fontsize=9)
