"""The status of work whose process crashes or hangs while it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
from tests.support import isolated

SCRIPT = """
import atexit, os, signal, sys, time
from trishift.io.shield import shielded

def work():
    print("working", flush=True)
    {work}
    print("done")
    return {status}

own = os.getpid()
atexit.register(lambda: os.getpid() != own and {end})
sys.exit(shielded(work, patience=0.5))
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
CRASH, HANG = "os.kill(os.getpid(), signal.SIGSEGV)", "time.sleep(60)"


def process(work: str, end: str, status: int = 0) -> subprocess.Popen[str]:
    script = SCRIPT.format(work=work, end=end, status=status)
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, env=isolated.environment(), stdout=PIPE, stderr=PIPE, text=True)


@pytest.mark.parametrize("end", [CRASH, HANG, "print()"])
@pytest.mark.parametrize("status", [0, 3])
def test_an_end_after_the_work_does_not_count(end: str, status: int) -> None:
    run = process("pass", end, status)
    output, _ = run.communicate(timeout=30)
    assert (run.returncode, output.split()) == (status, ["working", "done"])


@pytest.mark.parametrize(
    ("work", "status"),
    [
        (CRASH, -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("sys.exit(2)", 2),
        ("1 / 0", 1),
    ],
)
def test_an_end_within_the_work_counts(work: str, status: int) -> None:
    run = process(work, "None")
    output, _ = run.communicate(timeout=30)
    assert (run.returncode, output.split()) == (status, ["working"])


def test_signals_reach_the_work() -> None:
    run = process(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); print(os.getpid(), flush=True); " + HANG, "0"
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "working\n"
    run.stdout.readline()
    run.terminate()
    assert run.wait(30) == 143


def test_a_signal_before_the_fork_returns_reaches_the_work() -> None:
    signal_within_fork = """
fork, own = os.fork, os.getpid()

def slow_fork():
    child = fork()
    if child:
        os.kill(own, signal.SIGTERM)
    return child

def ended(number, frame):
    print("in the work" if os.getpid() != own else "outside", file=sys.stderr, flush=True)  # may interrupt print()
    sys.exit(143)

os.fork = slow_fork
signal.signal(signal.SIGTERM, ended)
"""
    script = SCRIPT.format(work="time.sleep(60)", end="None", status=0)
    script = script.replace("own = os.getpid()", signal_within_fork)
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env=isolated.environment(), capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr.split("\n")[-2]) == (143, "in the work")


def test_the_work_ends_with_a_killed_process() -> None:
    run = process("print(os.getpid(), flush=True); " + HANG, "None")
    assert run.stdout is not None
    assert run.stdout.readline() == "working\n"
    child = Path("/proc", run.stdout.readline().strip(), "cmdline")
    assert child.read_bytes()
    os.kill(run.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while child.exists() and child.read_bytes():  # nothing in a process that only waits to be collected
        assert time.monotonic() < deadline
        time.sleep(0.02)


STARTER = """
import os, sys
from trishift.io.shield import shielded, starter
parent = os.getppid()

def work():
    print(starter() == parent != os.getppid(), flush=True)
    return 0

print(starter() == parent, flush=True)
sys.exit(shielded(work))
"""


def test_the_starter_is_known_through_a_shield() -> None:
    assert isolated.python("-c", STARTER) == "True\nTrue\n"
