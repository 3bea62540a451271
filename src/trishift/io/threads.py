"""Map a function over many files in threads, with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from trishift.io.progress import track

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_in_threads(
    function: Callable[[_Item], _Result], items: Sequence[_Item], workers: int | None = None, description: str = ""
) -> list[_Result]:
    """Return [function(item) for item in items], computed in threads (FFmpeg, PIL and numpy release the GIL).

    Args:
        function: called in any thread; its first exception cancels all pending calls and is raised.
        items: arguments.
        workers: number of threads; None: one per core.
        description: title of the progress bar (`progress.track`).
    """
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        futures = [pool.submit(function, item) for item in items]
        return [future.result() for future in track(futures, len(futures), description)]
    finally:
        pool.shutdown(cancel_futures=True)
