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
SMALLEST = 1e-2  # MB that count as nothing


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
        for kind, row in zip(UNITS, rows, strict=False):
            _curve(left if kind == "time" else left.twinx(), kind, row, -1 if size == "ranks" else 1)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=100))


def _curve(axes: Any, kind: str, row: Row, power: int) -> None:
    """Draw a curve, and the line of what is linear in this power of the size."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    sizes, figures = zip(*row.points, strict=True)
    figures = tuple(max(figure, SMALLEST) for figure in figures)
    axes.loglog(sizes, figures, "o-", color=COLORS[kind], markersize=4)
    if kind == "time":
        linear = [figures[0] * (size / sizes[0]) ** power for size in sizes]
        axes.loglog(sizes, linear, "--", color="gray", linewidth=1)
    axes.set_xticks(sizes, [f"{size:,.3g}" if size < 1 else f"{size:,.0f}" for size in sizes], fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(UNITS[kind], color=COLORS[kind])
    axes.tick_params(axis="y", labelcolor=COLORS[kind], labelsize=8)
