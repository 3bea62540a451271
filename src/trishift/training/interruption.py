"""Ctrl-C and SIGTERM as a request to save and stop."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from trishift.backends.session import Session
from trishift.errors import TrishiftError

_REPEATED = 5.0  # seconds in which SIGTERM again is the same request


class Interrupted(TrishiftError):
    """Training stopped on request; the run folder holds everything needed to resume."""


def how_to_continue(folder: Path | str, session: Session) -> str:
    """Tell the user how to resume a run, in a few words."""
    if session.execution.distributed:
        return f"continue with the same command and --resume {shlex.quote(str(folder))}"
    framework = "" if session.framework == "pytorch" else f" --framework {session.framework}"
    return f"continue with: trishift train --resume {shlex.quote(str(folder))}{framework}"


def after_failure(folder: Path | None) -> str:
    """Tell the user of a run in several processes, one of which failed, what to do, in a few words."""
    if folder is None or not (folder / "last.safetensors").exists():
        return "nothing is saved yet; start again once that is mended"
    resume = f"--resume {shlex.quote(str(folder))}"
    return f"the last checkpoint is intact; continue with the same command and {resume}, in any number of processes"


class StopSignal:
    """While open, the first Ctrl-C or SIGTERM sets `requested`; a later one has its usual effect.

    SIGTERM that follows within seconds is the same request: Paddle's launcher sends it three times in half a second,
    and would end a process in the middle of its last checkpoint.

    Only the main thread can install signal handlers; in other threads, this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            for number in self._previous:
                signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in self._previous:
            if not (self.requested and number == signal.SIGTERM):  # it may be repeated after the checkpoint, too
                self._restore(number)

    def _request(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.requested:
            self.requested, self._since = True, now
            self._restore(signal.SIGINT)
            print("\nstopping after this step; press Ctrl-C again to stop at once", flush=True)
        elif now - self._since > _REPEATED:
            self._restore(number)
            os.kill(os.getpid(), number)

    def _restore(self, number: int) -> None:
        signal.signal(number, self._previous[number])
