"""Fair timing of several alternatives: round robin, so that what else the machine does hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def measure(alternatives: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every call; each round calls every alternative once, after one round that warms up."""
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds + 1):
        for name, call in alternatives.items():
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: measured[1:] for name, measured in times.items()}


def table(times: Mapping[str, list[float]], baseline: str, title: str) -> str:
    """A Markdown table of medians and minima, and of their ratios to `baseline`.

    The ratio is the median over the rounds, each against the baseline of the same round; where other programs
    load the machine, the ratio of the least times is the better witness.
    """
    lines = [f"| {title} | median ms | least ms | ratio | ratio of least |", "|---|---:|---:|---:|---:|"]
    for name, values in times.items():
        ratio = statistics.median(value / base for value, base in zip(values, times[baseline], strict=True))
        least = min(values)
        row = f"{statistics.median(values):.0f} | {least:.0f} | {ratio:.3f} | {least / min(times[baseline]):.3f}"
        lines.append(f"| {name} | {row} |")
    return "\n".join(lines)
