"""An audit as a page and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trishift.evaluation.auditing import VARIANTS
from trishift.evaluation.findings import Findings
from trishift.io.wording import counted
from trishift.reporting.pages.charts import COLORS, svg
from trishift.reporting.pages.rendering import percent, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def page_text(findings: Findings) -> str:
    """The page."""
    found, names = findings.overall, findings.names
    return render(
        "audit.html",
        title="Does the task need time?",
        verdict=findings.verdict,
        figures=[
            ("as trained", percent(found.accuracy.mean), f"{findings.network}, {counted(found.videos, 'video')}"),
            ("single frames", percent(found.reached["single frames"]), "every frame alone"),
            ("backward", percent(found.reached["backward"]), "the last frame first"),
            ("chance", percent(found.chance), "the most frequent class"),
        ],
        advice=findings.advice(),
        chart=svg(lambda axes: _draw(findings, axes)),
        metric=findings.metric,
        classes=[
            (label, each.videos, [each.reached[name] for name in _SHOWN], findings.told_by(label))
            for label, each in findings.classes.items()
        ],
        alterations=[
            (words, found.reached[name], findings.loss(name), VARIANTS.get(name, "evenly spread, each repeated"))
            for name, words in names.items()
        ],
        misses=[reason for _, reason in findings.audited.misses],
    )


_SHOWN = ("as trained", "single frames", "backward")


def _draw(findings: Findings, axes: Axes) -> None:
    found, names = findings.overall, findings.names
    places = np.arange(len(names))[::-1]
    reached = [100 * found.reached[name] for name in names]
    intervals = [findings.interval_of(name) for name in names]
    ends = np.array([[100 * (each.mean - each.low), 100 * (each.high - each.mean)] for each in intervals]).T
    colors = [COLORS["blue" if name == "as trained" else "orange"] for name in names]
    axes.barh(places, reached, 0.7, color=colors, xerr=np.maximum(ends, 0), ecolor=COLORS["soft"], capsize=2)
    axes.axvline(100 * found.chance, color=COLORS["ink"], linestyle=":", linewidth=1)
    axes.set_yticks(places, list(names.values()))
    axes.set(xlabel=f"{findings.metric} (%)", xlim=(0, 100))
    axes.grid(visible=False, axis="y")


WRITERS: dict[str, Callable[[Findings], str]] = {
    ".json": lambda findings: json.dumps(findings.summary(), indent=2, ensure_ascii=False) + "\n",
    ".html": page_text,
}
"""Suffix to the text of the file."""
