"""Data-parallel training on CPUs: two ranks against one, and one rank against no group, one thread each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from benchmarks.interleaved import Call, compared, measure
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.suite import train

from trishift.io.processes import server

BATCH = 4
TARGETS = {"two": 0.6, "one": 1.02}


def rows(options: Options) -> Iterator[Row]:
    """Training steps of the same global batch."""
    if options.quick:
        yield Row("two ranks", note="needs processes of its own; run without --quick")
        return
    with ExitStack() as stack:
        groups = {
            "none": [stack.enter_context(server(partial(step, options, BATCH, distributed=False), environment(0, 1)))],
            "one": [stack.enter_context(server(partial(step, options, BATCH), environment(0, 1)))],
            "two": ranks(stack, options, 2),
        }
        pool = stack.enter_context(ThreadPoolExecutor(2))
        calls = {name: partial(together, pool, group) for name, group in groups.items()}
        times = measure(calls, options.rounds)
    title = f"training step of {BATCH} clips"
    yield compared(f"{title}, two ranks against one", times, "two", "one", TARGETS["two"])
    yield compared(f"{title}, one rank against no group", times, "one", "none", TARGETS["one"])


def ranks(stack: ExitStack, options: Options, count: int) -> list[Call]:
    """Ranks that wait for each other, so they are opened at the same time."""
    port = free_port()
    servers = [server(partial(step, options, BATCH // count), environment(rank, count, port)) for rank in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(stack.enter_context, servers))


def step(options: Options, batch: int, *, distributed: bool = True) -> Call:
    """A training step of this rank's clips."""
    return train.step(options.spec, options.size, execution={"distributed": distributed}, batch=batch)


def together(pool: ThreadPoolExecutor, group: list[Call]) -> None:
    """Call all ranks at the same time."""
    list(pool.map(lambda call: call(), group))


def environment(rank: int, count: int, port: int | None = None) -> dict[str, str]:
    """What a launcher sets."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port or free_port()}
    return {**{name: str(value) for name, value in names.items()}, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
