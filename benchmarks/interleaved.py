"""Round-robin timing of several alternatives, so that other load on the machine affects all of them equally."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from benchmarks.rows import Row

from trishift.errors import TrishiftError
from trishift.io.processes import server

Call = Callable[[], Any]
Times = Mapping[str, Sequence[float]]
CLOCK = "TRISHIFT_BENCHMARK_CLOCK"  # environment variable, which processes inherit
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class Timed:
    """A function of an alternative, timed where it runs.

    Attributes:
        ms: milliseconds of the last call.
    """

    def __init__(self, call: Callable[[], tuple[float, Any]]) -> None:
        self._call, self.ms = call, 0.0

    def __call__(self) -> Any:
        """Call the function, and return its result."""
        self.ms, result = self._call()
        return result


def measure(alternatives: Mapping[str, Call], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Milliseconds of every call. Each round calls every alternative once; the first rounds warm up."""
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(warm_up + rounds):
        for name, call in alternatives.items():
            timed = call if isinstance(call, Timed) else Timed(_timed(call))
            timed()
            times[name].append(timed.ms)
    return {name: measured[warm_up:] for name, measured in times.items()}


def ratio(times: Times, ours: str, baseline: str) -> float:
    """The median over the rounds of our time relative to the baseline's in the same round."""
    return statistics.median(a / b for a, b in zip(times[ours], times[baseline], strict=True))


def compared(name: str, times: Times, ours: str, baseline: str, target: float | None = None, **more: Any) -> Row:
    """The row of two alternatives; if one of them was not measured, it has no figures."""
    figures = [statistics.median(times[key]) if key in times else None for key in (ours, baseline)]
    relative = ratio(times, ours, baseline) if None not in figures else None
    return Row(name, *figures, ratio=relative, target=target, **more)


def _made(make: Callable[[], Call]) -> Callable[[], tuple[float, Any]]:
    return _timed(make())


def _timed(call: Call) -> Callable[[], tuple[float, Any]]:
    """A function that returns the milliseconds of the call, by the chosen clock, and its result."""
    clock = CLOCKS[os.environ.get(CLOCK, "wall")]

    def timed() -> tuple[float, Any]:
        start = clock()
        result = call()
        return 1000 * (clock() - start), result

    return timed


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
                calls[name] = Timed(stack.enter_context(server(partial(_made, make))) if apart else _made(make))
            except TrishiftError as error:
                failures[name] = str(error)
        yield calls, failures
