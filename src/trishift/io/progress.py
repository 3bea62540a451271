"""Progress of long jobs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
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
