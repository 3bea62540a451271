"""The C library's use of memory, which a train step on a CPU allocates and frees by the gigabyte."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # `mallopt` of glibc
_LARGEST_THRESHOLD = 32 * 2**20  # bytes; glibc accepts no more
_OF_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed(environment: Mapping[str, str] = os.environ) -> bool:
    """Keep freed memory in the process for the next step, instead of returning it to the kernel.

    The kernel clears every page that it hands out again: up to a fifth of a step. Settings of the user are kept.

    Returns:
        Whether the C library (glibc) has been told.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or any(name in environment for name in _OF_USER):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD) and mallopt(_TRIM_THRESHOLD, -1))
