"""Round-robin timing of several alternatives, so that other load on the machine affects all of them equally."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def measure(alternatives: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every call. Each round calls every alternative once; a first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds + 1):
        for name, call in alternatives.items():
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: measured[1:] for name, measured in times.items()}


def table(times: Mapping[str, list[float]], baseline: str, title: str) -> str:
    """Markdown table of medians and minima, with their ratios to `baseline`.

    The ratio is the median over the rounds, each relative to the baseline of the same round. Under other load, the
    ratio of the minima is more reliable.
    """
    lines = [f"| {title} | median ms | min ms | ratio | ratio of min |", "|---|---:|---:|---:|---:|"]
    for name, values in times.items():
        ratio = statistics.median(value / base for value, base in zip(values, times[baseline], strict=True))
        least = min(values)
        row = f"{statistics.median(values):.0f} | {least:.0f} | {ratio:.3f} | {least / min(times[baseline]):.3f}"
        lines.append(f"| {name} | {row} |")
    return "\n".join(lines)
