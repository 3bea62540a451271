"""Results of benchmarks: rows, their verdicts, and the tables they print as."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trishift.io.atomic import write_text


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: the case, and what it is compared with.
        ours: Trishift's figure, or None if it could not be measured (see `note`).
        baseline: the figure of the alternative, if there is one.
        ratio: ours / baseline, the median over the rounds where both were timed.
        target: bound on the ratio, or on `ours` if there is no baseline; None if there is no target.
        unit: of `ours` and `baseline`.
        at_least: the target is a lower bound; otherwise it is an upper bound.
        note: why there is no figure, or a remark.
        points: (x, y) of a curve.
    """

    name: str
    ours: float | None = None
    baseline: float | None = None
    ratio: float | None = None
    target: float | None = None
    unit: str = "ms"
    at_least: bool = False
    note: str = ""
    points: Sequence[tuple[float, float]] = ()

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing if there is no target. Figures are compared as they are printed."""
        value = self.ratio if self.baseline is not None else self.ours
        if self.target is None or value is None:
            return ""
        value = float(figure(value))
        return "met" if (value >= self.target if self.at_least else value <= self.target) else "missed"


@dataclass(frozen=True)
class Report:
    """The rows of one call of `python -m benchmarks`.

    Attributes:
        machine: date, commit, processor, versions and load.
        settings: rounds and sizes.
        benchmarks: rows by the name of the benchmark.
    """

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    benchmarks: dict[str, list[Row]] = field(default_factory=dict)


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON."""
    rows = {name: [_plain(row) for row in rows] for name, rows in report.benchmarks.items()}
    content = {"machine": report.machine, "settings": report.settings, "benchmarks": rows}
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_report(path: Path) -> Report:
    """Read a report."""
    content = json.loads(path.read_text("utf-8"))
    rows = {name: [Row(**row) for row in rows] for name, rows in content["benchmarks"].items()}
    return Report(content["machine"], content["settings"], rows)


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| measured | ours | baseline | ratio | target | |", "|---|---:|---:|---:|---:|---|"]
    for row in rows:
        ours, baseline = (quantity(value, row.unit) for value in (row.ours, row.baseline))
        cells = [row.name, ours, baseline, figure(row.ratio), _target(row), row.verdict]
        cells[-1] = "; ".join(filter(None, (cells[-1], row.note)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def quantity(value: float | None, unit: str) -> str:
    """A figure with its unit."""
    return f"{figure(value)} {unit}".strip() if value is not None else ""


def figure(value: float | None) -> str:
    """A number to three digits."""
    if value is None:
        return ""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _target(row: Row) -> str:
    return f"{'≥' if row.at_least else '≤'} {row.target:g}" if row.target is not None else ""


def _plain(row: Row) -> dict[str, Any]:
    """A row as JSON, to the printed digits and one more."""
    content = asdict(row)
    for key in ("ours", "baseline", "ratio"):
        if content[key] is not None:
            content[key] = float(f"{content[key]:.4g}")
    content["points"] = [[float(f"{value:.4g}") for value in point] for point in row.points]
    defaults = asdict(Row(""))
    always = ("name", "ours", "baseline", "ratio", "target", "unit")
    return {key: value for key, value in content.items() if key in always or value not in (defaults[key], [])}
