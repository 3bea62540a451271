"""Resident memory of this process and its children."""

from __future__ import annotations

import resource
from pathlib import Path

_SELF = Path("/proc/self")


def megabytes(process: Path = _SELF) -> float:
    """Present resident memory in MB (Linux; elsewhere the peak so far)."""
    status = process / "status"
    if not status.is_file():
        return peak_megabytes()
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def family_megabytes() -> float:
    """The same, with the children of this process."""
    children = [path.read_text().split() for path in _SELF.glob("task/*/children")]
    return megabytes() + sum(megabytes(_SELF.parent / child) for group in children for child in group)


def peak_megabytes() -> float:
    """Largest resident memory so far in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux
