"""`--engine`: who works on a list of videos, the processes of this machine or those of a Ray cluster."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from trishift.commands.shared.devices import AUTO, named_device
from trishift.commands.shared.jobs import weights_digest
from trishift.commands.shared.parts import in_order, parts
from trishift.errors import CheckpointError
from trishift.evaluation.shards import Shard

_Opening = TypeVar("_Opening")
_Result = TypeVar("_Result")
Numbered = list[tuple[int, _Result]]
"""Results by their numbers in the list."""
Work = Callable[[np.ndarray], Iterator[Numbered[_Result]]]
"""From ascending numbers to their results, as soon as they are known."""
Make = Callable[[argparse.Namespace], tuple[_Opening, Work[_Result]]]
"""Opens the model; returns a description of it, and the work."""

_BATCHES = 16  # of a chunk, at most: the first has to wait for its clips, and a lost process costs them all
_CHUNKS = 4  # per process, at least, so that all have work until the end


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add `--engine` and `--ray-address`."""
    text = "local: processes of this machine; ray: those of a Ray cluster; default: local"
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help=text)
    text = "HOST:PORT of the cluster; default: RAY_ADDRESS, or the cluster on this machine"
    parser.add_argument("--ray-address", metavar="ADDRESS", help=text)


@contextmanager
def results_of(
    options: argparse.Namespace,
    make: Make[_Opening, _Result],
    numbers: np.ndarray,
    batch: int = 1,
    most: int = _BATCHES,
) -> Iterator[tuple[_Opening, Iterator[Numbered[_Result]]]]:
    """Work on some videos of a list in the processes that the arguments ask for.

    Args:
        options: arguments of the command.
        make: picklable; called in each process with its arguments.
        numbers: the videos, ascending.
        batch: videos that stay together.
        most: batches that a process of a cluster gets at once.

    Yields:
        The description of the model, and the results: in the order of the list, or as they are ready on a cluster.

    Raises:
        TrishiftError: as `parts` and `io.cluster` do.
    """
    if options.engine == "ray":
        with _on_cluster(options, make, numbers, batch, most) as opened:
            yield opened
        return
    with parts(options, partial(_part, make, numbers, batch)) as streams:
        openings = [next(stream) for stream in streams]
        yield openings[0], (results for _, results in in_order(streams))


def _part(
    make: Make[_Opening, _Result], numbers: np.ndarray, batch: int, options: argparse.Namespace, part: Shard
) -> Iterator[Any]:
    """Yield the description, then the results of a part of the videos, numbered by the first."""
    opening, work = make(options)
    yield opening
    for results in work(part.turns(numbers, batch)):
        yield results[0][0], results


@contextmanager
def _on_cluster(
    options: argparse.Namespace, make: Make[_Opening, _Result], numbers: np.ndarray, batch: int, most: int
) -> Iterator[tuple[_Opening, Iterator[Numbered[_Result]]]]:
    from trishift.io.cluster import connected

    digest = weights_digest(options)
    with connected(options.ray_address) as cluster:
        named = None if options.device == AUTO else named_device(options.device)
        device = named or ("gpu" if cluster.has_gpus else "cpu")
        settings = argparse.Namespace(**{**vars(options), "device": device, "devices": 1, "engine": "local"})
        needs = {"gpu": device == "gpu", "cores": options.workers}
        share = len(numbers) // (batch * _CHUNKS * max(1, options.devices or cluster.room(**needs)))
        size = batch * min(max(share, 1), most)
        chunks = (numbers[start : start + size] for start in range(0, len(numbers), size))
        with cluster.run(
            partial(_opened, make, settings, digest),
            chunks,
            processes=options.devices,
            **needs,
        ) as (opening, results):
            yield opening, results


def _opened(make: Make[_Opening, _Result], options: argparse.Namespace, digest: str) -> tuple[_Opening, Any]:
    """Open the model in a process of the cluster; its function returns all results of a chunk."""
    if weights_digest(options) != digest:
        raise CheckpointError(f"{options.checkpoint}: is another file on this node; give all nodes the same one")
    opening, work = make(options)
    return opening, lambda numbers: [result for results in work(numbers) for result in results]
