"""Worker processes that call a function and return arrays through shared memory.

They start from scratch and import only what unpickling the function needs: neither a framework nor the main program.
They end with this process, however it ends. Their memory has no name, so nothing can be left behind.
"""

from __future__ import annotations

import mmap
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np

from trishift.errors import TrishiftError
from trishift.io.processes import way_to_end

Returned = tuple[np.ndarray, Any]
_IN_FLIGHT = 2  # calls per process: one runs, the next waits, so that no process waits for this one
_PATIENCE = 10.0  # seconds for a process to end
_KEPT_BYTES = 2**24  # of shared memory that stays allocated for the next call
_PROGRAM = "import sys; sys.path[:] = {path!r}; from trishift.io.workers import serve; serve(*{shared})"
_Call = tuple[Future[Returned], tuple[Any, ...]]


def available() -> bool:
    """Whether there is memory that processes can share by file descriptor (Linux), and a Python to start."""
    if not hasattr(os, "memfd_create") or not sys.executable or getattr(sys, "frozen", False):
        return False
    with suppress(OSError):  # the kernel may refuse it
        os.close(os.memfd_create("probe"))
        return True
    return False


class Workers:
    """Processes that call a function.

    Args:
        function: picklable; returns an array and anything picklable.
        count: number of processes.
        title: beginning of the message about a process that has ended.
    """

    def __init__(self, function: Callable[..., Returned], count: int, title: str = "a worker process") -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._title = title
        self._failure = ""
        self._processes: list[_Process] = []
        pickled = os.memfd_create("function")
        try:
            with open(pickled, "wb", closefd=False) as file:
                pickle.dump(function, file)
            for _ in range(count):
                process = _Process(pickled)
                self._processes.append(process)
                threading.Thread(target=self._serve, args=(process,), name="worker", daemon=True).start()
        except BaseException:
            self.close()
            raise
        finally:
            os.close(pickled)

    def submit(self, *arguments: Any) -> Future[Returned]:
        """Call the function in the next free process.

        Its result raises what the function raises, and a TrishiftError if a process has ended.
        """
        future: Future[Returned] = Future()
        if self._failure:
            future.set_exception(TrishiftError(self._failure))
            return future
        self._calls.put((future, arguments))
        if self._failure:  # in the meantime
            self._fail_waiting()
        return future

    def close(self) -> None:
        """End the processes at once; they have nothing to clean up. Calls that are waiting are not made."""
        self._failure = f"{self._title} was closed"
        self._calls.put(None)
        for process in self._processes:
            process.end()

    def _serve(self, process: _Process) -> None:
        """Give calls to a process and take its results, until the end of either side."""
        running: deque[Future[Returned]] = deque()
        try:
            while True:
                while len(running) < _IN_FLIGHT and (call := self._next(wait=not running)):
                    running.append(call[0])
                    process.connection.send(call[1])
                if not running:
                    return
                result = process.receive()
                future = running.popleft()
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        except BaseException as error:
            self._failure = f"{self._title} {process.failure(error)}"
            for future in running:
                future.set_exception(TrishiftError(self._failure))
            self._fail_waiting()
        finally:
            process.release()

    def _next(self, wait: bool) -> _Call | None:
        """The next call that is not canceled; None if there is none, or at the end."""
        with suppress(queue.Empty):
            while call := self._calls.get(block=wait):
                if call[0].set_running_or_notify_cancel():
                    return call
            self._calls.put(None)  # for the other threads
        return None

    def _fail_waiting(self) -> None:
        while call := self._next(wait=False):
            call[0].set_exception(TrishiftError(self._failure))


class _Process:
    """A worker process, seen from this one; `function` is a descriptor of its pickled function."""

    def __init__(self, function: int) -> None:
        self.connection, theirs = Pipe()
        self._slots = [os.memfd_create("clips") for _ in range(_IN_FLIGHT)]
        self._received = 0
        shared = (function, theirs.fileno(), *self._slots)
        try:
            with theirs, _signals_blocked():
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM.format(path=sys.path, shared=shared)],
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    pass_fds=shared,
                )
        except OSError:
            self.release()
            raise

    def receive(self) -> Returned | BaseException:
        """Wait for the next result, or the exception that the function raised."""
        content, cause = self.connection.recv()
        slot = self._slots[self._received % _IN_FLIGHT]
        self._received += 1
        if isinstance(content, BaseException):
            content.__cause__ = RuntimeError(f"in a worker process:\n{cause}")
            return content
        (shape, dtype), rest = content
        array = np.empty(shape, dtype)
        _transfer(os.preadv, slot, array)
        if array.nbytes > _KEPT_BYTES:
            os.ftruncate(slot, 0)
        return array, rest

    def failure(self, error: BaseException) -> str:
        """How the process ended, if that caused an error on this side; otherwise it is ended for the error."""
        has_ended = isinstance(error, (EOFError, ConnectionError))
        try:
            return way_to_end(self._process.wait(_PATIENCE if has_ended else 0))
        except subprocess.TimeoutExpired:
            self.end()
            return f"failed: {error!r}"

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """Close what the process was reached through."""
        self.connection.close()
        for slot in self._slots:
            os.close(slot)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let processes that start now outlive Ctrl-C and SIGTERM to the whole group; this process then ends them."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _transfer(operation: Callable[[int, list[memoryview], int], int], slot: int, array: np.ndarray) -> None:
    """Read or write all bytes of an array; the system may transfer less than asked for."""
    done, content = 0, array.reshape(-1).view(np.uint8).data
    while done < len(content):
        done += operation(slot, [content[done:]], done)


def serve(pickled: int, descriptor: int, *slots: int) -> None:
    """Run as a worker process until the other side of the connection is closed."""
    with mmap.mmap(pickled, 0, prot=mmap.PROT_READ) as content:
        function = pickle.loads(content)
    connection, calls = Connection(descriptor), 0
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            arguments = connection.recv()
            connection.send(_call(function, arguments, slots[calls % _IN_FLIGHT]))
            calls += 1


def _call(function: Callable[..., Returned], arguments: tuple[Any, ...], slot: int) -> tuple[Any, str]:
    try:
        array, rest = function(*arguments)
        array = np.asarray(array, order="C")
        _transfer(os.pwritev, slot, array)
        return ((array.shape, array.dtype), rest), ""
    except Exception as error:  # raised again on the other side
        text = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            error = RuntimeError(repr(error))
        return error, text
