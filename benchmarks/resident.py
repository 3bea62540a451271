"""Resident memory of this process."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def megabytes() -> float:
    """Present resident memory in MB (Linux; elsewhere the peak so far)."""
    if not _STATUS.is_file():
        return peak_megabytes()
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def peak_megabytes() -> float:
    """Largest resident memory so far in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux
