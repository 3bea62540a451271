"""Load on `trishift serve`, on this machine: a table of docs/serving.md.

    python -m benchmarks.serving MODEL CLIP [--seconds 5] [--queue 32] [--batch 8]

Starts a server and lets 1, 4 and 16 clients send the clip one request after another. Then 200 clients send one request
at once, more than the queue holds. Every request must have an answer: 200, or 429 beyond the queue.
"""

from __future__ import annotations

import argparse
import http.client
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

CLIENTS = (1, 4, 16)
BURST = 200
LOST = 0  # status of a request without an answer


@contextmanager
def server(options: argparse.Namespace) -> Iterator[int]:
    """Run `trishift serve`; yields its port."""
    arguments = ["serve", options.model, "--port", "0", "--queue", options.queue, "--batch", options.batch]
    command = [sys.executable, "-m", "trishift", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield int(re.findall(r":(\d+)", process.stdout.readline())[0])
    finally:
        process.terminate()
        process.wait(30)


def send(connection: http.client.HTTPConnection, body: bytes) -> int:
    """Status of a prediction."""
    try:
        connection.request("POST", "/v1/predict", body, {"Content-Type": "video/mp4"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return LOST
    return response.status


def load(port: int, body: bytes, clients: int, go_on: Callable[[int], bool]) -> tuple[Counter[int], list[float], float]:
    """Statuses, durations of answered predictions, and seconds, for clients that each send while `go_on(sent)`."""
    statuses: Counter[int] = Counter()
    durations: list[float] = []
    barrier = threading.Barrier(clients + 1)

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        barrier.wait()
        sent = 0
        while go_on(sent):
            began = time.perf_counter()
            status = send(connection, body)
            statuses[status] += 1
            if status == http.HTTPStatus.OK:
                durations.append(time.perf_counter() - began)
            sent += 1
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return statuses, durations, time.perf_counter() - began


def row(name: str, statuses: Counter[int], durations: list[float], seconds: float) -> str:
    """A line of the table."""
    p50, p99 = np.percentile(durations, [50, 99]) * 1000
    answers = f"{statuses[200]} | {statuses[429]} | {statuses[LOST]}"
    return f"| {name} | {len(durations) / seconds:.0f} | {p50:.0f} | {p99:.0f} | {answers} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--queue", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    body = options.clip.read_bytes()
    with server(options) as port:
        print("| clients | predictions/s | p50 ms | p99 ms | 200 | 429 | lost |\n|---|---:|---:|---:|---:|---:|---:|")
        for clients in CLIENTS:
            end = time.monotonic() + options.seconds
            print(
                row(str(clients), *load(port, body, clients, lambda sent, end=end: time.monotonic() < end)), flush=True
            )
        statuses, durations, seconds = load(port, body, BURST, lambda sent: sent == 0)
        print(row(f"{BURST} at once, queue of {options.queue}", statuses, durations, seconds))
    unexpected = set(statuses) - {200, 429}
    sys.exit(f"unexpected: {unexpected}" if unexpected else 0)


if __name__ == "__main__":
    main()
