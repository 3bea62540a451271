"""Progress of long jobs: a tqdm bar on a terminal, and elsewhere (logs, CI) a line every now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from trishift.io.wording import spell_time

_Item = TypeVar("_Item")
_Progress = TypeVar("_Progress", bound="Progress")
_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Counts what is done and shows it with the speed and the time left; for use in a `with` block.

    Args:
        title: text beside the bar.
        total: the count in the end; None: unknown.
        start: what was done before.
        unit: one of what is counted.
        show: whether to show it at all.
    """

    def __init__(self, title: str, total: int | None, start: int = 0, unit: str = "clip", *, show: bool = True) -> None:
        self._title, self._total, self._start, self._unit = title, total, start, unit
        self._done, self._show = start, show
        self._begin = self._last = time.monotonic()
        self._bar = tqdm(
            desc=title,
            total=total,
            initial=start,
            unit=f" {unit}s",
            dynamic_ncols=True,
            leave=False,
            disable=not (show and sys.stderr.isatty()),
        )

    def update(self, count: int = 1) -> None:
        """Count what has been done since the last call."""
        self._done += count
        if not self._bar.disable:
            self._bar.update(count)
        elif self._show and time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            done = f"{self._done:,}" if self._total is None else f"{self._done:,} of {self._total:,}"
            print(f"{self._title}: {done}, {self.note()}", file=sys.stderr, flush=True)

    def note(self) -> str:
        """Clips per second, and the time left if the total is known."""
        speed = (self._done - self._start) / max(time.monotonic() - self._begin, 1e-9)
        left = f", {spell_time((self._total - self._done) / speed)} left" if self._total is not None and speed else ""
        return f"{speed:.3g} {self._unit}s/s{left}"

    def print(self, line: str) -> None:
        """Print a line of results to stdout, above the bar if both are on one terminal."""
        if self._bar.disable:
            print(line)
        else:
            with tqdm.external_write_mode(sys.stdout):
                print(line)

    def __enter__(self: _Progress) -> _Progress:
        return self

    def __exit__(self, *failure: object) -> None:
        self._bar.close()


def track(items: Iterable[_Item], total: int, title: str, unit: str = "file") -> Iterator[_Item]:
    """Yield the items and show the progress."""
    with Progress(title, total, unit=unit) as progress:
        for item in items:
            yield item
            progress.update()


@contextmanager
def track_bytes(start: int, total: int | None, title: str) -> Iterator[Callable[[int], object]]:
    """Yield a function that counts bytes; shows a progress bar on a terminal and prints one line elsewhere.

    Args:
        start: bytes that were there before.
        total: bytes in the end, None if unknown.
        title: text beside the bar.
    """
    size = "" if total is None else f" ({total / 2**20:,.1f} MB{', resumed' if start else ''})"
    if not sys.stderr.isatty():
        print(f"{title}{size}", file=sys.stderr, flush=True)
    with tqdm(
        desc=title, initial=start, total=total, unit="B", unit_scale=True, leave=False, disable=not sys.stderr.isatty()
    ) as bar:
        yield bar.update
