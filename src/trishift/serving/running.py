"""Run an application on an address until the process is asked to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from trishift.errors import TrishiftError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def bind(host: str, port: int) -> socket.socket:
    """Reserve an address before the expensive work; connections wait until `run`.

    Raises:
        TrishiftError: the address is in use, not of this machine, or not permitted.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # else another server could bind it, too
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TrishiftError(f"{host}:{port}: cannot be used ({reason}); choose another --port") from None
    return bound


def address_of(bound: socket.socket) -> str:
    """The address for a browser."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: ASGIApp, patience: float) -> uvicorn.Server:
    """A server that logs nothing, as `Guard` does, and waits some seconds for requests in progress when it stops."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            log_level="error",
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=int(patience) + 1,
        )
    )


def run(app: ASGIApp, bound: socket.socket, patience: float) -> None:
    """Serve until SIGTERM or Ctrl-C; then refuse new connections and finish the requests in progress.

    Args:
        app: the application.
        bound: see `bind`.
        patience: seconds for the requests in progress.
    """
    server = make_server(app, patience)
    with _stopping(server):
        server.run(sockets=[bound])


@contextmanager
def _stopping(server: uvicorn.Server) -> Iterator[None]:
    """Make the signals stop the server and no more; uvicorn raises them again when it has stopped."""

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    previous = [signal.signal(number, stop) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, previous, strict=True):
            signal.signal(number, handler)
