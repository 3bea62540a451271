"""Worker processes: arrays of any size, errors, and an end with the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trishift.errors import DataError, TrishiftError
from trishift.io.workers import Workers, available

pytestmark = pytest.mark.skipif(not available(), reason="the system has no memory that processes share by descriptor")
FRAMEWORKS = ("torch", "mindspore", "paddle")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("not", "picklable")


def work(what: str, size: int = 0) -> tuple[np.ndarray, Any]:
    if what == "data":
        raise DataError("clip.mp4: is damaged")
    if what == "bug":
        raise Unpicklable
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    loaded = sorted(set(FRAMEWORKS) & set(sys.modules))
    return np.arange(size, dtype=np.uint16).reshape(-1, 2, order="F"), (os.getpid(), loaded)


def test_process_returns_arrays_and_errors_until_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trishift.io.workers._KEPT_BYTES", 1_000)
    workers = Workers(work, 1, "the worker")
    futures = [workers.submit("array", size) for size in (6, 0, 60_000, 2)]
    for future, size in zip(futures, (6, 0, 60_000, 2), strict=True):
        array, (pid, loaded) = future.result(timeout=60)
        np.testing.assert_array_equal(array, work("array", size)[0])
        assert array.dtype == np.uint16 and pid != os.getpid() and not loaded
    [process] = workers._processes
    assert max(os.fstat(slot).st_size for slot in process._slots) < 1_000
    for number in (signal.SIGINT, signal.SIGTERM):  # which a terminal and a scheduler send to the whole group
        os.kill(pid, number)
    with pytest.raises(DataError, match="is damaged"):
        workers.submit("data").result(timeout=60)
    with pytest.raises(RuntimeError, match="Unpicklable") as error:
        workers.submit("bug").result(timeout=60)
    assert "raise Unpicklable" in str(error.value.__cause__)
    lost = [workers.submit(what) for what in ("kill", "array", "array", "array")]
    for future in [*lost, workers.submit("array")]:
        with pytest.raises(TrishiftError, match="the worker was ended by SIGKILL; memory may have run out"):
            future.result(timeout=60)
    workers.close()
    with pytest.raises(TrishiftError, match="the worker was closed"):
        workers.submit("array").result(timeout=60)


def test_failure_of_this_process_ends_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    workers = Workers(work, 1, "the worker")
    monkeypatch.setattr("trishift.io.workers._transfer", fail)
    for future in [workers.submit("array", 2) for _ in range(3)]:
        with pytest.raises(TrishiftError, match=r"the worker failed: MemoryError"):
            future.result(timeout=60)
    assert workers._processes[0]._process.poll() is not None


def test_processes_end_with_the_parent(tmp_path: Path) -> None:
    program = f"""
import os, sys
from trishift.io.workers import Workers
from {work.__module__} import work
workers = Workers(work, 1)
print(workers.submit("array").result()[1][0], flush=True)
os.kill(os.getpid(), 9)
raise SystemExit("this program must not run in its workers")
"""
    script = tmp_path / "program.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL and not ended.stderr
    pid = int(ended.stdout)
    for _ in range(300):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlives its parent")
