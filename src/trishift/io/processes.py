"""Work in several processes, each of which returns a stream of results.

The processes need no connection among themselves, so any program can run in them, on any device.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event, Semaphore
from types import FrameType
from typing import Any, Generic, TypeVar, cast

from trishift.errors import TrishiftError

_Result = TypeVar("_Result")
_RESULT, _NOTE, _ERROR, _END = "result", "note", "error", "end"
_PATIENCE = 10.0  # seconds for a process to clean up before it is killed
_PACKAGE = __name__.partition(".")[0]
_LOG = logging.getLogger(__name__)


@contextmanager
def streams(
    work: Callable[[int], Iterator[_Result]], environments: Sequence[Mapping[str, str]]
) -> Iterator[list[Iterator[_Result]]]:
    """Run `work(index)` in one new process per environment; all are ended with the block.

    Log records of the processes are logged here, equal ones once.

    Args:
        work: picklable; yields picklable results.
        environments: additional environment variables of each process.

    Yields:
        The results of each process, in its own order.

    Raises:
        TrishiftError: from any stream, if any process fails; names the process.
    """
    workers: list[_Worker[_Result]] = []
    try:
        for index, environment in enumerate(environments):
            workers.append(_start(work, index, len(environments), environment))
        notes: set[str] = set()
        yield [_results(worker, workers, notes) for worker in workers]
    except BaseException:
        for worker in workers:
            worker.process.terminate()
        raise
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.join(_PATIENCE)
            worker.process.kill()


@contextmanager
def server(
    make: Callable[[], Callable[[], _Result]], environment: Mapping[str, str] | None = None
) -> Iterator[Callable[[], _Result]]:
    """Make a function in a new process, and call it there on request; the process is ended with the block.

    Args:
        make: picklable; returns a function without arguments whose results are picklable.
        environment: additional environment variables of the process.

    Yields:
        The function. A call returns once the process has finished it.

    Raises:
        TrishiftError: `make` or a call fails, or the process ends; that of `make` has the original text.
    """
    context = multiprocessing.get_context("spawn")
    requests, ended = context.Semaphore(0), context.Event()
    with streams(partial(_serve, make, requests, ended), [environment or {}]) as [results]:
        if (failure := next(results)) is not None:
            raise TrishiftError(failure)

        def call() -> _Result:
            requests.release()
            return cast(_Result, next(results))

        yield call
        ended.set()
        requests.release()


def _serve(make: Callable[[], Callable[[], Any]], requests: Semaphore, ended: Event, index: int) -> Iterator[Any]:
    """Yield None, or why `make` failed; then the result of a call per request."""
    try:
        function = make()
    except TrishiftError as error:
        yield str(error)
        return
    yield None
    while requests.acquire() and not ended.is_set():
        yield function()


@dataclass
class _Worker(Generic[_Result]):
    name: str
    process: SpawnProcess
    connection: Connection

    def failure(self) -> TrishiftError:
        """The reason why this process ended early."""
        with suppress(EOFError, OSError):
            while True:
                kind, content = self.connection.recv()
                if kind == _ERROR:
                    return TrishiftError(f"{self.name}: {content}")
        self.process.join()
        return TrishiftError(f"{self.name}: {way_to_end(self.process.exitcode or 0)}")


def way_to_end(status: int) -> str:
    """How a process ended that should not have, by its exit status; negative: minus the number of a signal."""
    if status >= 0:
        return f"ended with status {status}, see above"
    hint = "; memory may have run out" if -status == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-status).name}{hint}"


def _start(
    work: Callable[[int], Iterator[_Result]], index: int, count: int, environment: Mapping[str, str]
) -> _Worker[_Result]:
    context = multiprocessing.get_context("spawn")  # a fork would share the threads and devices of a framework
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, index, dict(environment), sender), daemon=True)
    process.start()
    sender.close()
    return _Worker(f"process {index + 1} of {count}", process, receiver)


def _results(worker: _Worker[_Result], workers: Sequence[_Worker[_Result]], notes: set[str]) -> Iterator[_Result]:
    while True:
        _wait(worker, workers)
        try:
            kind, content = worker.connection.recv()
        except EOFError:
            raise worker.failure() from None
        if kind == _RESULT:
            yield content
        elif kind == _NOTE and content not in notes:
            notes.add(content)
            _LOG.warning("%s", content)
        elif kind == _ERROR:
            raise TrishiftError(f"{worker.name}: {content}")
        elif kind == _END:
            return


def _wait(worker: _Worker[_Result], workers: Sequence[_Worker[_Result]]) -> None:
    """Wait for the next message of a process.

    Raises:
        TrishiftError: another process has failed in the meantime.
    """
    running = {each.process.sentinel: each for each in workers if each.process.exitcode is None}
    ready = wait([worker.connection, *running])
    while worker.connection not in ready:
        for sentinel in ready:
            other = running.pop(cast(int, sentinel))
            other.process.join()
            if other.process.exitcode:
                raise other.failure()
        ready = wait([worker.connection, *running])


def _run(
    work: Callable[[int], Iterator[Any]], index: int, environment: Mapping[str, str], connection: Connection
) -> None:
    """The main function of a process."""
    os.environ.update(environment)  # before a framework is imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sender = _Sender(connection)
    logger = logging.getLogger(_PACKAGE)
    logger.addHandler(sender)
    logger.propagate = False
    try:
        for result in work(index):
            sender.send(_RESULT, result)
        sender.send(_END, None)
    except TrishiftError as error:
        with suppress(BrokenPipeError):
            sender.send(_ERROR, str(error))
        sys.exit(1)
    except BrokenPipeError:  # the parent has ended
        sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the parent says why; Python may print where the exit found it
    sys.exit(128 + number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _Sender(logging.Handler):
    """Sends results and log records to the parent; decoding threads log, too."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def send(self, kind: str, content: Any) -> None:
        """Send a message."""
        self.acquire()
        try:
            self._connection.send((kind, content))
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record's text."""
        with suppress(OSError):
            self.send(_NOTE, self.format(record))
