"""Round-robin timing of several alternatives, so that other load on the machine affects all of them equally."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.rows import Row

from trishift.errors import TrishiftError
from trishift.io.processes import server

Call = Callable[[], Any]
Times = Mapping[str, Sequence[float]]


def measure(alternatives: Mapping[str, Call], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Milliseconds of every call. Each round calls every alternative once; the first rounds warm up."""
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(warm_up + rounds):
        for name, call in alternatives.items():
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: measured[warm_up:] for name, measured in times.items()}


def ratio(times: Times, ours: str, baseline: str) -> float:
    """The median over the rounds of our time relative to the baseline's in the same round."""
    return statistics.median(a / b for a, b in zip(times[ours], times[baseline], strict=True))


def compared(name: str, times: Times, ours: str, baseline: str, target: float | None = None, **more: Any) -> Row:
    """The row of two alternatives; if one of them was not measured, it has no figures."""
    figures = [statistics.median(times[key]) if key in times else None for key in (ours, baseline)]
    relative = ratio(times, ours, baseline) if None not in figures else None
    return Row(name, *figures, ratio=relative, target=target, **more)


@contextmanager
def opened(
    makers: Mapping[str, Callable[[], Call]], *, apart: bool = True
) -> Iterator[tuple[dict[str, Call], dict[str, str]]]:
    """Make alternatives, each in a process of its own unless `apart` is false.

    Yields:
        The calls, and why the others could not be made.
    """
    calls: dict[str, Call] = {}
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        for name, make in makers.items():
            try:
                calls[name] = stack.enter_context(server(make)) if apart else make()
            except TrishiftError as error:
                failures[name] = str(error)
        yield calls, failures
