"""A loopback HTTP server whose answers to single requests can be made to fail."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Serves `FileServer.files` with ranges and ETags, unless the path has another answer waiting."""

    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        path = self.path.partition("?")[0]
        waiting = self.server.answers.get(path, [])
        answer = waiting.pop(0) if waiting else self.server.always.get(path, plain)
        try:
            answer(self, self.server.files.get(path))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def reply(self, status: int, body: bytes = b"", cut: int | None = None, **headers: object) -> None:
        """Send an answer, of whose body only the first `cut` bytes arrive."""
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body if cut is None else body[:cut]
        for start in range(0, len(sent), self.server.chunk):
            self.wfile.write(sent[start : start + self.server.chunk])
            time.sleep(self.server.pause)
        self.close_connection = cut is not None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


Answer = Callable[[Handler, bytes | None], None]


class FileServer(ThreadingHTTPServer):
    """Attributes:
    files: path to content.
    answers: path to answers that replace the usual one, each for one request.
    always: path to an answer that replaces the usual one in every request.
    requests: (path, Range header) of every request so far.
    chunk, pause: bytes sent at once, and seconds after them.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.always: dict[str, Answer] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.chunk, self.pause = 2**20, 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(server: FileServer | None = None) -> Iterator[FileServer]:
    """Run a server."""
    with server or FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def tag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def plain(handler: Handler, content: bytes | None, cut: int | None = None, **headers: object) -> None:
    """Answer as a well-behaved server."""
    if content is None:
        return handler.reply(404)
    wanted, version = handler.headers.get("Range"), handler.headers.get("If-Range")
    if wanted is None or version not in (None, tag(content)):
        return handler.reply(200, content, cut, ETag=tag(content), **headers)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start, end = int(first), int(last) + 1 if last else len(content)
    if start >= len(content):
        return handler.reply(416)
    place = f"bytes {start}-{end - 1}/{len(content)}"
    handler.reply(206, content[start:end], cut, ETag=tag(content), Content_Range=place, **headers)


def cut_after(count: int) -> Answer:
    """The connection ends after some bytes of the body."""
    return lambda handler, content: plain(handler, content, cut=count)


def status(code: int, **headers: object) -> Answer:
    """Another status."""
    return lambda handler, content: handler.reply(code, b"", **headers)


def web_page(handler: Handler, content: bytes | None) -> None:
    """A login page with status 200."""
    handler.reply(200, b"<!DOCTYPE html><html>log in</html>", Content_Type="text/html; charset=utf-8")


def compressed(handler: Handler, content: bytes | None) -> None:
    """Compressed although nobody asked for it."""
    handler.reply(200, gzip.compress(content or b""), Content_Encoding="gzip")


def without_ranges(handler: Handler, content: bytes | None) -> None:
    """A server that ignores ranges and names no version."""
    handler.reply(200, content or b"")


def another_version(handler: Handler, content: bytes | None) -> None:
    """A range of a file that has changed, from a server that ignores If-Range."""
    other = (content or b"")[::-1]
    start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
    place = f"bytes {start}-{len(other) - 1}/{len(other)}"
    handler.reply(206, other[start:], ETag=tag(other), Content_Range=place)


def too_short(handler: Handler, content: bytes | None) -> None:
    """A body shorter than announced, at the end of the connection."""
    handler.reply(200, content or b"", cut=len(content or b"") - 1)


def stalled(seconds: float) -> Answer:
    """Nothing arrives for a while."""

    def answer(handler: Handler, content: bytes | None) -> None:
        time.sleep(seconds)
        plain(handler, content)

    return answer
