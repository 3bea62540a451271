"""CPU settings of Paddle's matrix library, an MKL of 2019.

The library reads the environment once, so it is tuned before anything imports Paddle.
"""

from __future__ import annotations

import os
from pathlib import Path

_AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def threads() -> int:
    """Number of compute threads: the user's setting, or one per CPU that this process may use.

    Launchers of several processes set OMP_NUM_THREADS to 1.
    """
    chosen = os.environ.get("MKL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    if chosen and chosen.isdecimal():
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tune(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Let MKL use all CPUs and, on AMD, their vector units. Settings of the user are kept.

    Paddle uses one thread by default, and this MKL takes slow code paths on non-Intel CPUs. MKL_DEBUG_CPU_TYPE, which
    newer versions ignore, makes convolutions about four times faster on an AVX-512 EPYC. Its threads would spin for
    200 ms while they wait, and take the cores from those that decode clips.
    """
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # milliseconds
    os.environ.setdefault("MKL_NUM_THREADS", str(threads()))
    processor_type = _processor_type(cpuinfo.read_text()) if cpuinfo.is_file() else None
    if processor_type is not None:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", processor_type)


def _processor_type(cpuinfo: str) -> str | None:
    """The Intel CPU type whose code an AMD CPU can run: 7 for AVX-512, 5 for AVX2."""
    if "AuthenticAMD" not in cpuinfo:
        return None
    features = set(next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "").split())
    if features >= _AVX512:
        return "7"
    return "5" if "avx2" in features else None
