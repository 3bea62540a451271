"""Work divided between the processes of a Ray cluster, which may gain and lose nodes meanwhile.

Each process is an actor that prepares once (opens a model) and then works on one chunk after the other. Few chunks wait
at each, so that memory stays bounded, and results are handed over in the order in which they are ready. What a lost
process had not finished goes to the others, and a new one takes its place when the cluster has room. Processes that
wait for room are the demand by which an autoscaling cluster grows.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar, cast

from trishift.errors import FrameworkError, TrishiftError, brief, install_hint
from trishift.io.wording import counted
from trishift.version import version_of

_Opening = TypeVar("_Opening")
_Chunk = TypeVar("_Chunk")
_Result = TypeVar("_Result")
Make = Callable[[], tuple[_Opening, Callable[[_Chunk], _Result]]]

_LOG = logging.getLogger(__name__)
_PACKAGE = __name__.partition(".")[0]
_AUTO, _CLIENT = "auto", "ray://"
_IN_FLIGHT = 2  # chunks per process, so that none waits for the next one
_TRIES = 3  # of a chunk
_FAILURES = 10  # in a row, before a process is ready
_SECONDS_TO_CONNECT = 10.0
_SECONDS_WITHOUT_HEAD = 30.0  # after 60 s, Ray ends this process
_SECONDS_WITHOUT_PROCESS = 300.0
_SECONDS_BETWEEN_LOOKS = 2.0  # at the size of the cluster


class Cluster:
    """A Ray cluster to which this process is connected; see `connected`.

    Attributes:
        address: as it was given.
        answers: whether the head node does.
    """

    def __init__(self, address: str, head: str) -> None:
        self.address, self.answers = address, True
        self._head = head

    @property
    def has_gpus(self) -> bool:
        """Whether some node has a GPU."""
        return self._capacity("GPU") > 0

    def check(self) -> None:
        """Wait for the head node for a while if it does not answer.

        Raises:
            TrishiftError: it is lost.
        """
        deadline = time.monotonic() + _SECONDS_WITHOUT_HEAD
        while (reason := _refusal(self._head)) is not None:
            if time.monotonic() > deadline:
                self.answers = False
                raise TrishiftError(
                    f"--engine ray: the head node at {self._head} is lost ({reason}); repeat the command to continue "
                    "when the cluster is back"
                )
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def room(self, *, gpu: bool = False, cores: int = 1) -> int:
        """How many processes the living nodes hold; see `run`."""
        return self._capacity("GPU") if gpu else self._capacity("CPU", cores)

    def _capacity(self, resource: str, least: float = 1.0) -> int:
        """How many processes with so much of a resource the living nodes hold."""
        import ray

        nodes = [node["Resources"].get(resource, 0.0) for node in ray.nodes() if node["Alive"]]
        return sum(int(amount // least) for amount in nodes)

    @contextmanager
    def run(
        self,
        make: Make[_Opening, _Chunk, _Result],
        chunks: Iterable[_Chunk],
        *,
        processes: int | None = None,
        gpu: bool = False,
        cores: int = 1,
    ) -> Iterator[tuple[_Opening, Iterator[_Result]]]:
        """Work on chunks in processes of the cluster.

        Args:
            make: picklable; prepares a process, and returns a picklable description and the function of a chunk.
            chunks: picklable.
            processes: the most, which a cluster may have to grow for; None: as many as it holds at any time.
            gpu: whether each needs a GPU.
            cores: CPU cores of each.

        Yields:
            The description of the first process that is ready, and the results in the order in which they are ready.

        Raises:
            TrishiftError: a process fails, the cluster has no room for any, or a chunk ends all processes it is given.
        """
        needs = counted(cores, "CPU core") + (" and a GPU" if gpu else "")
        if not self.room(gpu=gpu, cores=cores):
            lacking = f"--engine ray: no node of {self.address} has {needs}"
            if processes is None:
                raise TrishiftError(f"{lacking}; start a larger node, or let the cluster grow for --devices N")
            _LOG.warning("%s; waiting up to %.0f s for one", lacking, _SECONDS_WITHOUT_PROCESS)
        pool: _Pool[_Opening, _Chunk, _Result] = _Pool(make, chunks, needs, gpu=gpu, cores=cores)

        def wanted() -> int:
            self.check()
            return self.room(gpu=gpu, cores=cores) if processes is None else processes

        try:
            yield pool.opening(wanted), pool.results(wanted)
        finally:
            if self.answers:
                pool.close()


@contextmanager
def connected(address: str | None = None) -> Iterator[Cluster]:
    """Connect this process to a cluster.

    Args:
        address: `host:port`, or `ray://host:port` of a client server; None: the variable RAY_ADDRESS, or the cluster on
            this machine.

    Raises:
        FrameworkError: Ray is not installed.
        TrishiftError: there is no cluster.
    """
    try:
        import ray
    except ImportError:
        raise FrameworkError(f"--engine ray: Ray is not installed; {install_hint('ray')}") from None
    address = address or os.environ.get("RAY_ADDRESS") or _AUTO
    _check_reachable(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _absent(address, brief(error)) from None
    head = address if address.startswith(_CLIENT) else ray.get_runtime_context().gcs_address
    cluster = Cluster(address, head)
    try:
        yield cluster
    finally:
        if cluster.answers:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse an address at which nothing answers, which Ray would try for a long time."""
    if address == _AUTO:
        return
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not (host and port.isdecimal()):
        raise TrishiftError(f"--ray-address {address}: write it as HOST:PORT or ray://HOST:PORT")
    if (reason := _refusal(address)) is not None:
        raise _absent(address, reason)


def _refusal(address: str) -> str | None:
    """Why nothing answers at an address; None if something does."""
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        return brief(error)
    return None


def _absent(address: str, reason: str) -> TrishiftError:
    where = "on this machine" if address == _AUTO else f"at {address}"
    return TrishiftError(
        f"--engine ray: there is no Ray cluster {where} ({reason}); start one with `ray start --head`, or name another "
        "one with --ray-address"
    )


class _Actor:
    """What runs in a process of the cluster."""

    def __init__(self, make: Make[Any, Any, Any], version: str, folder: str) -> None:
        self._make, self._version, self._folder = make, version, folder
        self._work: Callable[[Any], Any] = lambda chunk: chunk
        self._notes = _Notes()

    def start(self) -> None:
        """Show that the process has started."""

    def open(self) -> tuple[Any, list[str]]:
        """Prepare; returns the description, and what was logged."""
        if version_of(".") != self._version:
            raise TrishiftError(
                f"node {socket.gethostname()} has another version of Trishift; install the same one on all nodes"
            )
        with suppress(OSError):  # relative paths mean the same as for the command
            os.chdir(self._folder)
        logging.getLogger(_PACKAGE).addHandler(self._notes)
        opening, self._work = self._make()
        return opening, self._notes.take()

    def work(self, chunk: Any) -> tuple[Any, list[str]]:
        """Work on a chunk; returns the result, and what was logged."""
        return self._work(chunk), self._notes.take()


class _Notes(logging.Handler):
    """The texts of log records, for the process that shows them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record's text."""
        self._texts.append(self.format(record))

    def take(self) -> list[str]:
        """The texts since the last call."""
        texts, self._texts = self._texts, []
        return texts


class _Pool(Generic[_Opening, _Chunk, _Result]):
    """The processes and what each of them is doing."""

    def __init__(
        self, make: Make[_Opening, _Chunk, _Result], chunks: Iterable[_Chunk], needs: str, *, gpu: bool, cores: int
    ) -> None:
        import ray

        # Lost processes are replaced here: Ray's own restart would keep the chunks of one that finds no room.
        remote: Any = ray.remote(num_cpus=cores, num_gpus=int(gpu), max_restarts=0)(_Actor)
        shared = ray.put(make), version_of("."), os.getcwd()  # noqa: PTH109
        self._start = lambda: remote.remote(*shared)
        self._needs = needs
        self._chunks, self._exhausted = iter(chunks), False
        self._again: deque[tuple[_Chunk, int]] = deque()  # chunks of lost processes, and how often they were tried
        self._starting: dict[Any, Any] = {}  # reference to its start: a process that may wait for room
        self._opening: dict[Any, Any] = {}  # reference to a description: its process
        self._running: dict[Any, tuple[Any, _Chunk, int]] = {}  # reference to a result: its process, chunk and tries
        self._ready: set[Any] = set()
        self._description: _Opening | None = None
        self._notes: set[str] = set()
        self._failed = 0  # processes that were lost before they were ready, in a row
        self._alive = self._looked = time.monotonic()

    def opening(self, wanted: Callable[[], int]) -> _Opening:
        """Wait for the first process."""
        while not self._ready:
            self._grow(wanted)
            for reference in self._done():
                self._advance(reference)
        return cast(_Opening, self._description)

    def results(self, wanted: Callable[[], int]) -> Iterator[_Result]:
        """Work on all chunks."""
        self._feed()
        while self._running or self._again or not self._exhausted:
            self._grow(wanted)
            for reference in self._done():
                if reference in self._running:
                    yield from self._finished(reference)
                else:
                    self._advance(reference)
            self._feed()

    def close(self) -> None:
        """End the processes."""
        import ray

        for actor in {*self._ready, *self._opening.values(), *self._starting.values()}:
            with suppress(Exception):  # it may be lost already
                ray.kill(actor)

    def _grow(self, wanted: Callable[[], int]) -> None:
        """Start processes until there are as many as wanted; they wait until the cluster has room."""
        now = time.monotonic()
        if self._ready or self._opening:
            self._alive = now
        elif now - self._alive > _SECONDS_WITHOUT_PROCESS:
            raise TrishiftError(
                f"--engine ray: no process of {self._needs} could be started for {_SECONDS_WITHOUT_PROCESS:.0f} s; "
                "repeat the command to continue when the cluster has room"
            )
        if (self._starting or self._opening) and now - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        for _ in range(max(1, wanted()) - len(self._ready) - len(self._opening) - len(self._starting)):
            actor = self._start()
            self._starting[actor.start.remote()] = actor

    def _done(self) -> list[Any]:
        import ray

        done, _ = ray.wait([*self._starting, *self._opening, *self._running], timeout=_SECONDS_BETWEEN_LOOKS)
        return list(done)

    def _advance(self, reference: Any) -> None:
        """Let a process that has started prepare, and count one that has prepared as ready, unless it was lost."""
        starts = reference in self._starting
        actor = (self._starting if starts else self._opening).pop(reference)
        found, lost = self._fetch(reference)
        if lost:
            self._remove(actor, lost)
            self._failed += 1
            if self._failed >= _FAILURES and not self._ready:
                raise TrishiftError(
                    f"--engine ray: {_FAILURES} processes ended before they were ready, see Ray's logs ({lost})"
                )
        elif starts:
            self._opening[actor.open.remote()] = actor
        else:
            self._ready.add(actor)
            self._failed = 0
            self._description = self._noted(found)

    def _noted(self, found: tuple[Any, list[str]]) -> Any:
        """What a process returned, after what it logged, if no other one did."""
        value, notes = found
        for note in notes:
            if note not in self._notes:
                self._notes.add(note)
                _LOG.warning("%s", note)
        return value

    def _finished(self, reference: Any) -> Iterator[_Result]:
        """The result of a chunk, unless its process was lost."""
        actor, chunk, tries = self._running.pop(reference)
        found, lost = self._fetch(reference)
        if not lost:
            yield self._noted(found)
            return
        self._remove(actor, lost)
        if tries == _TRIES:
            raise TrishiftError(f"--engine ray: {tries} processes ended on the same videos, see Ray's logs ({lost})")
        self._again.append((chunk, tries + 1))

    def _fetch(self, reference: Any) -> tuple[Any, str]:
        """A value, or why its process was lost."""
        import ray

        try:
            return ray.get(reference), ""
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise TrishiftError(str(cause) if isinstance(cause, TrishiftError) else brief(error, 1000)) from None
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
            return None, brief(error, 120)

    def _remove(self, actor: Any, reason: str) -> None:
        """Give up a lost process, even if it may come back, so that the cluster has room for another one."""
        import ray

        if actor in self._ready:
            _LOG.warning("--engine ray: a process was lost (%s); others take over its work", reason)
        self._ready.discard(actor)
        with suppress(Exception):
            ray.kill(actor)

    def _feed(self) -> None:
        """Give chunks to processes that wait for few."""
        load = dict.fromkeys(self._ready, 0)
        for actor, _, _ in self._running.values():
            if actor in load:
                load[actor] += 1
        for _ in range(_IN_FLIGHT):
            for actor in sorted(load, key=lambda each: load[each]):
                if load[actor] == _IN_FLIGHT or (task := self._next()) is None:
                    continue
                chunk, tries = task
                self._running[actor.work.remote(chunk)] = actor, chunk, tries
                load[actor] += 1

    def _next(self) -> tuple[_Chunk, int] | None:
        if self._again:
            return self._again.popleft()
        for chunk in self._chunks:
            return chunk, 1
        self._exhausted = True
        return None
