"""Starting and stopping a server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from tests.support.web import request

from trishift.errors import TrishiftError
from trishift.serving.guard import allowed_hosts
from trishift.serving.running import address_of, bind

SLOW_SERVER = """
import asyncio
from trishift.serving.running import bind, run

async def app(scope, receive, send):
    if scope["type"] == "http":
        print("in progress", flush=True)
        await asyncio.to_thread(input)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

bound = bind("127.0.0.1", 0)
print(bound.getsockname()[1], flush=True)
run(app, bound, 5)
print("stopped", flush=True)
"""


def test_port_in_use_is_one_line() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            TrishiftError, match=rf"127\.0\.0\.1:{port}: cannot be used \(Address already in use\); choose"
        ):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_foreign_addresses_are_one_line(host: str) -> None:
    with pytest.raises(TrishiftError, match="cannot be used"):
        bind(host, 0)


def test_addresses_for_people() -> None:
    with bind("127.0.0.1", 0) as bound:
        assert address_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
    assert allowed_hosts("127.0.0.1") is not None
    assert allowed_hosts("0.0.0.0") is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_gracefully(number: signal.Signals) -> None:
    command, pipe = [sys.executable, "-c", SLOW_SERVER], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        answers: list[tuple[int, Any, Any]] = []
        thread = threading.Thread(target=lambda: answers.append(request(port, "GET", "/")))
        thread.start()
        assert process.stdout.readline() == "in progress\n"
        process.send_signal(number)
        with pytest.raises(ConnectionRefusedError):
            for _ in range(1000):
                socket.create_connection(("127.0.0.1", port), 10).close()
                time.sleep(0.01)
        assert not answers
        process.stdin.write("go on\n")
        process.stdin.flush()
        thread.join(10)
        assert [answer[:2] for answer in answers] == [(200, "done")]
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 0
