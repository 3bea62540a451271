"""`--devices`: the work of a command divided between processes, one per device."""

from __future__ import annotations

import argparse
import heapq
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from trishift.commands.shared.arguments import spelled
from trishift.commands.shared.devices import device_of
from trishift.errors import ExecutionError, RecipeError, TrishiftError
from trishift.evaluation.shards import Shard
from trishift.io.processes import streams

_Result = TypeVar("_Result")
_Work = Callable[[argparse.Namespace, Shard], Iterator[_Result]]
_VISIBLE = {"gpu": "CUDA_VISIBLE_DEVICES", "ascend": "ASCEND_RT_VISIBLE_DEVICES"}
_LAUNCHED = ("PADDLE_TRAINERS_NUM", "MS_WORKER_NUM")  # torchrun: TORCHELASTIC_RUN_ID and WORLD_SIZE


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add `--devices`."""
    text = "processes, each on its own GPU (on a CPU, each with its share of the cores); default: 1, on a cluster all"
    parser.add_argument("--devices", type=int, metavar="N", help=text)


@contextmanager
def parts(options: argparse.Namespace, work: _Work[_Result]) -> Iterator[list[Iterator[_Result]]]:
    """Run `work(options, part)` for every part, each in a process of its own; with one part, in this process.

    Yields:
        The results of each part.

    Raises:
        RecipeError: there are fewer devices, or a launcher has started several copies of this command.
        TrishiftError: a process fails; names the process.
    """
    count = options.devices or 1
    _refuse_launchers(count)
    if count == 1:
        yield [work(options, Shard())]
        return
    options.checkpoint.fetch()  # once, before all processes want it
    device = device_of(options)
    settings = argparse.Namespace(**{**vars(options), "device": device})
    with streams(partial(_part, work, settings), environments(device, count)) as results:
        yield results


def _part(work: _Work[_Result], options: argparse.Namespace, index: int) -> Iterator[_Result]:
    try:
        yield from work(options, Shard(index + 1, options.devices))
    except ExecutionError as error:
        raise TrishiftError(error.phrased(partial(spelled, "eval"))) from None


def in_order(results: Sequence[Iterator[tuple[int, _Result]]]) -> Iterator[tuple[int, _Result]]:
    """Numbered results of several parts, ascending within each part, in the order of the list."""
    return heapq.merge(*results, key=lambda numbered: numbered[0])


def environments(device: str, count: int) -> list[dict[str, str]]:
    """Environment variables that give each process a device of its own.

    Raises:
        RecipeError: fewer devices are visible.
    """
    if device == "cpu":
        threads = str(max(1, len(os.sched_getaffinity(0)) // count))
        return [{} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": threads} for _ in range(count)]
    found = _visible(device)
    if found is not None and len(found) < count:
        raise RecipeError(f"--devices {count}: only {len(found)} are visible ({device}); use --devices {len(found)}")
    return [{_VISIBLE[device]: name} for name in (found or map(str, range(count)))][:count]


def _visible(device: str) -> list[str] | None:
    """The names of the devices that this process may use; None if they cannot be listed."""
    names = os.environ.get(_VISIBLE[device])
    if names is not None:
        return [name for name in names.split(",") if name]
    if device != "gpu":
        return None
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return [str(number) for number in range(listed.count("GPU "))]


def _refuse_launchers(devices: int) -> None:
    """Copies of a command would all write the same file.

    Raises:
        RecipeError: this process is one of several.
    """
    names = [*_LAUNCHED, *(["WORLD_SIZE"] if "TORCHELASTIC_RUN_ID" in os.environ else [])]
    count = max(int(os.environ.get(name) or 1) for name in names)
    if count > 1:
        raise RecipeError(
            f"a launcher started {count} copies of this command; start one, with --devices {max(devices, count)}"
        )
