"""Memory of this process."""

from __future__ import annotations

import sys


def peak_memory() -> int:
    """Largest resident size so far in bytes; 0 where the system does not count it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
