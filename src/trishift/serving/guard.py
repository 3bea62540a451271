"""The outermost layer of the service: which pages may call it, and one line per request."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trishift.io.terminal import printable
from trishift.serving.metrics import Metrics

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SECONDS_OF_DRAINING = 5
_CLIENT_GONE = 499
_TOO_SLOW = 408


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host in ("localhost", "::1") or host.startswith("127.")


def allowed_hosts(host: str) -> tuple[str, ...] | None:
    """Names by which a server on an address may be called; None: any."""
    return (*_LOOPBACK, host) if is_loopback(host) else None


class Guard:
    """Wraps an application.

    Other web pages can make a browser send requests to this server. A browser names the page's origin in them, which
    must be this server. On loopback, so must the `Host` header be: otherwise a page could call the server by a name of
    its own that resolves to 127.0.0.1.

    A request that is refused early has its body read and discarded first, for some seconds. Otherwise the connection
    would be reset, and the client might never see why.

    Args:
        app: the application.
        hosts: accepted names in `Host`, without port; None: any.
        most_bytes: of a body that is discarded.
        headers: added to every response.
        metrics: counts the requests.
        say: called with a line per request.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Sequence[str] | None,
        most_bytes: int,
        headers: dict[str, str],
        metrics: Metrics,
        say: Callable[[str], object],
    ) -> None:
        self._app, self._hosts, self._most_bytes = app, hosts, most_bytes
        self._headers = {"X-Content-Type-Options": "nosniff", **headers}
        self._metrics, self._say = metrics, say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; see the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        body = _Body(receive)
        status = _CLIENT_GONE

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status != _TOO_SLOW:
                    await body.drain(self._most_bytes)
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        try:
            refusal = self._refusal(scope)
            app = self._app if refusal is None else JSONResponse({"detail": refusal}, 403)
            await app(scope, body.receive, respond)
        except ClientDisconnect:
            pass
        finally:
            self._report(scope, status, time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self._hosts is not None and name not in self._hosts:
            return f"host {host!r}: this server answers to {', '.join(dict.fromkeys(self._hosts))}"
        if origin is not None and scope["method"] not in ("GET", "HEAD") and urlsplit(origin).netloc != host:
            return f"origin {origin!r}: pages of other servers may not send requests"
        return None

    def _report(self, scope: Scope, status: int, seconds: float) -> None:
        self._metrics.requests.labels(status).inc()
        client = (scope["client"] or ("?",))[0]
        path = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
        line = f"{time.strftime('%H:%M:%S')} {client} {scope['method']} {path} {status} {1000 * seconds:.0f} ms"
        self._say(printable(line))


class _Body:
    """The body of a request."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._ended = receive, False

    async def receive(self) -> Message:
        message = await self._receive()
        self._ended = not message.get("more_body", False)
        return message

    async def drain(self, most_bytes: int) -> None:
        """Discard what has not been read, up to a number of bytes."""
        with anyio.move_on_after(_SECONDS_OF_DRAINING):
            while not self._ended and most_bytes > 0:
                most_bytes -= len((await self.receive()).get("body", b""))
