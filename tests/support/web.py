"""A server of the package in a thread, and requests to it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp

from trishift.serving.running import bind, make_server


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """Serve an application on a free port of this machine, which is yielded."""
    bound = bind("127.0.0.1", 0)
    server = make_server(app, patience=5)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


def request(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, Any, http.client.HTTPMessage]:
    """Status, JSON or text, and headers of the answer to a request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        content = response.read().decode()
    finally:
        connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, json.loads(content) if is_json else content, response.headers
