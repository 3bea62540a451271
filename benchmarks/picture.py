"""The picture of the curves of `scale`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

from trishift.io.atomic import write_atomically

COLUMNS = 4
COLORS = {"time": "tab:blue", "memory": "tab:orange"}
UNITS = {"time": "seconds", "memory": "MB"}


def draw(curves: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw time and memory of every curve on logarithmic axes, with a dashed line of linear growth."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 2.8 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (name, rows) in enumerate(curves.items(), 1):
        task, _, size = name.rpartition(", ")
        left = figure.add_subplot(lines, COLUMNS, number)
        left.set_title(task, fontsize=10)
        left.set_xlabel(size)
        for axes, kind, row in zip((left, left.twinx()), UNITS, rows, strict=False):
            _curve(axes, kind, row)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=100))


def _curve(axes: Any, kind: str, row: Row) -> None:
    sizes, figures = zip(*row.points, strict=True) if row.points else ((), ())
    axes.loglog(sizes, figures, "o-", color=COLORS[kind], markersize=4)
    if kind == "time" and figures:
        axes.loglog(sizes, [figures[0] * size / sizes[0] for size in sizes], "--", color="gray", linewidth=1)
    axes.set_ylabel(UNITS[kind], color=COLORS[kind])
    axes.tick_params(axis="y", labelcolor=COLORS[kind], labelsize=8)
