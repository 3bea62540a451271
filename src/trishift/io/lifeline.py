"""Processes of one job, on one or several machines, that notice each other's end.

Rank 0 keeps a connection to every other rank. A process that ends says so, with its error if it failed; the kernel
closes the connection of one that is killed, and gives up that of a machine that no longer answers.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

_PATIENCE = 10.0  # seconds to connect, while the others do
_GRACE = 1.0  # seconds in which a process that learns of a failure may fail for the same reason, in its own words
_IDLE, _INTERVAL, _PROBES = 10, 5, 4  # seconds and number of keepalive probes: a silent machine is given up after 30 s
_DONE, _FAILED = b"done", b"failed "  # the last line of a process


class Lifeline:
    """The connections of one process; call `close` before it ends.

    Args:
        rank: of this process, counted from 0.
        size: number of processes.
        address: the machine of rank 0, as the others reach it.
        gather: exchanges texts: the texts of all ranks, in rank order. Every rank constructs its lifeline at once.
        lost: called in a thread with a sentence when another process is gone or failed.

    Raises:
        OSError: a process cannot reach rank 0; the same on all ranks.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        address: str,
        gather: Callable[[str], list[str]],
        lost: Callable[[str], object],
    ) -> None:
        self._rank, self._lost = rank, lost
        self._peers: dict[socket.socket, int] = {}
        self._ended = threading.Event()
        self._host = socket.gethostname()
        self._names = [f"rank {number} on {host}" for number, host in enumerate(gather(self._host))]
        server = socket.create_server(("", 0), backlog=size) if rank == 0 else None
        token = secrets.token_hex(16)
        port, token = gather(f"{server.getsockname()[1] if server else 0} {token}")[0].split()
        failure = ""
        try:
            self._meet(server, size, (address, int(port)), token)
        except OSError as error:
            failure = f"{self._names[rank]} cannot reach rank 0 at {address}:{port} ({error.strerror or error})"
        finally:
            if server:
                server.close()
        if failures := [text for text in gather(failure) if text]:
            self._hang_up()
            raise OSError(failures[-1])
        self._thread = threading.Thread(target=self._watch, name="lifeline", daemon=True)
        self._thread.start()

    def _meet(self, server: socket.socket | None, size: int, leader: tuple[str, int], token: str) -> None:
        if server is None:
            connection = socket.create_connection(leader, _PATIENCE)
            connection.sendall(f"{token} {self._rank:>8}".encode())
            self._add(connection, 0)
            return
        deadline = time.monotonic() + _PATIENCE
        while len(self._peers) < size - 1:
            server.settimeout(max(0.1, deadline - time.monotonic()))
            connection, _ = server.accept()
            connection.settimeout(_PATIENCE)
            greeting = connection.recv(len(token) + 9, socket.MSG_WAITALL).decode("ascii", "replace")
            if greeting.startswith(token):
                self._add(connection, int(greeting[len(token) :]))
            else:
                connection.close()  # a stranger

    def _add(self, connection: socket.socket, rank: int) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", _IDLE), ("TCP_KEEPINTVL", _INTERVAL), ("TCP_KEEPCNT", _PROBES)):
            if hasattr(socket, name):  # not on every system
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._peers[connection] = rank

    def _watch(self) -> None:
        """Wait for the last lines of the others."""
        with selectors.DefaultSelector() as selector:
            for connection in self._peers:
                selector.register(connection, selectors.EVENT_READ)
            lines = dict.fromkeys(self._peers, b"")
            while selector.get_map() and not self._ended.is_set():
                for key, _ in selector.select(timeout=1.0):
                    peer = key.fileobj
                    assert isinstance(peer, socket.socket)
                    data = _received(peer)
                    lines[peer] += data
                    if not data or data.endswith(b"\n"):
                        selector.unregister(peer)
                        self._report(self._peers[peer], lines[peer].strip())

    def _report(self, rank: int, line: bytes) -> None:
        if line == _DONE or self._ended.is_set():
            return
        reason = line.removeprefix(_FAILED).decode("utf-8", "replace")
        sentence = reason or f"{self._names[rank]} is gone: killed, or its machine does not answer"
        self._tell(_FAILED + sentence.encode())
        if not self._ended.wait(_GRACE if reason else 0):
            self._lost(sentence)

    def close(self, error: str | None = None) -> None:
        """Tell the others that this process ends: its work is done, or failed with an error."""
        self._ended.set()
        self._tell(_DONE if error is None else _FAILED + f"{self._names[self._rank]}: {error}".encode())
        self._hang_up()

    def _tell(self, line: bytes) -> None:
        for connection in self._peers:
            with suppress(OSError):  # it is gone
                connection.sendall(b" ".join(line.splitlines()) + b"\n")

    def _hang_up(self) -> None:
        for connection in self._peers:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)


def _received(connection: socket.socket) -> bytes:
    """What arrived; empty if the connection has ended."""
    try:
        return connection.recv(2**16)
    except OSError:
        return b""
