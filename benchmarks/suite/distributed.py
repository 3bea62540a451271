"""Data-parallel training: two ranks against one, and one rank against no group, with one thread each.

On a machine with one GPU, only the second comparison is made, on the GPU.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from benchmarks.interleaved import Call, compared, measure
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.suite import train

from trishift.backends import find_device
from trishift.io.processes import server

BATCH = 4
TARGETS = {"two": 0.6, "one": 1.02}


def rows(options: Options) -> Iterator[Row]:
    """Training steps of the same global batch."""
    if options.quick:
        yield Row("two ranks", note="needs processes of its own; run without --quick")
        return
    device = find_device("pytorch")
    with ExitStack() as stack:
        groups = {
            "none": ranks(stack, [partial(step, options, BATCH, device, distributed=False)]),
            "one": ranks(stack, [partial(step, options, BATCH, device)]),
        }
        if device == "cpu":
            groups["two"] = ranks(stack, [partial(step, options, BATCH // 2, device)] * 2)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        calls = {name: partial(together, pool, group) for name, group in groups.items()}
        times = measure(calls, options.rounds)
    title = f"training step of {BATCH} clips"
    if device == "cpu":
        row = compared(f"{title}, ranks: two against one", times, "two", "one", TARGETS["two"])
        yield replace(row, points=[(1, (row.baseline or 0.0) / 1000), (2, (row.ours or 0.0) / 1000)])
    yield compared(f"{title}, one rank against no group", times, "one", "none", TARGETS["one"])


def ranks(stack: ExitStack, makers: list[Callable[[], Call]]) -> list[Call]:
    """Ranks that wait for each other, so they are opened at the same time."""
    port, count = free_port(), len(makers)
    servers = [server(make, environment(rank, count, port)) for rank, make in enumerate(makers)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(stack.enter_context, servers))


def step(options: Options, batch: int, device: str, *, distributed: bool = True) -> Call:
    """A training step of this rank's clips, in float32 and channels_last."""
    execution = {"device": device, "channels_last": True, "distributed": distributed}
    return train.step(options.spec, options.size, execution=execution, batch=batch)


def together(pool: ThreadPoolExecutor, group: list[Call]) -> None:
    """Call all ranks at the same time."""
    list(pool.map(lambda call: call(), group))


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What a launcher sets."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    return {**{name: str(value) for name, value in names.items()}, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
