"""Freed memory stays in the process."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest

from trishift.backends.host_memory import keep_freed


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of glibc")
def test_freed_memory_is_used_again() -> None:
    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            arrays = [np.ones(2**20) for _ in range(4)]  # 8 MB each
            del arrays
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert not keep_freed({"MALLOC_TRIM_THRESHOLD_": "1"})
    if not keep_freed({}):
        pytest.skip("the C library is not glibc")
    faults()
    assert faults() < 2000  # 160,000 without
