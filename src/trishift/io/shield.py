"""Processes that may crash while they end, although their work is done.

MindSpore leaves its cluster in the last steps of the interpreter, where it may free the connection to the scheduler
while a thread still reads from it. On a busy machine, several percent of the ranks ended with a segmentation fault or
not at all, and msrun reported a failed job although every file was complete.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

_PATIENCE = 60.0  # seconds for a process to end after its work
_PR_SET_PDEATHSIG = 1
_PASSED_ON = (signal.SIGINT, signal.SIGTERM)
_shield = 0  # in a fork of `shielded`: its parent


def shielded(work: Callable[[], int], patience: float = _PATIENCE) -> int:
    """Run work in a fork of this process and return its status in both, whatever happens to the fork afterwards.

    Call it before any thread is started, and let both processes end with the status. Only Linux has the calls.

    Args:
        work: returns an exit status, 0 to 255. If its process ends within the work, so does this one, in the same way.
        patience: seconds for the fork to end after the work; then it is killed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    receiver, sender = os.pipe()
    # A signal that arrives before the handlers are set must wait for them: it would end this process alone.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    parent, child = os.getpid(), os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(receiver)
        _end_with(parent)
        global _shield
        _shield = parent
        status = work()
        with suppress(OSError, ValueError):  # the work has reported a closed pipe or a full disk
            sys.stdout.flush()
        os.write(sender, bytes([status]))
        return status
    os.close(sender)
    handlers = {number: signal.signal(number, _passed_to(child)) for number in _PASSED_ON}
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        with os.fdopen(receiver, "rb") as pipe:
            report = pipe.read(1)
        if report:
            _wait(child, patience)
            return report[0]
        return _end_like(child)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def starter() -> int:
    """The number of the process that started this one, through `shielded` or not; another one once it has ended."""
    parent = os.getppid()
    if parent != _shield:
        return parent
    *_, fields = Path(f"/proc/{parent}/stat").read_text("utf-8", errors="replace").rpartition(")")
    return int(fields.split()[1])


def _end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def _passed_to(child: int) -> Callable[[int, FrameType | None], None]:
    return lambda number, frame: os.kill(child, number)


def _wait(child: int, patience: float) -> None:
    """Wait for the end of a process, and kill it if that takes too long."""
    deadline = time.monotonic() + patience
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.05)


def _end_like(child: int) -> int:
    """The exit status of a process, or its signal for this one too."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        with suppress(OSError):  # SIGKILL has no handlers
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status
