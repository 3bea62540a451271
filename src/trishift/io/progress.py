"""Progress of long jobs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")
_SECONDS_BETWEEN_LINES = 30.0


def track(items: Iterable[_Item], total: int, title: str) -> Iterator[_Item]:
    """Yield the items; shows a progress bar on a terminal, or prints a line every 30 seconds elsewhere (logs, CI)."""
    if sys.stderr.isatty():
        yield from tqdm(items, title, total, leave=False)
        return
    last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{title}: {count} of {total}", file=sys.stderr, flush=True)


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
