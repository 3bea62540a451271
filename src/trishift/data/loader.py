"""Batches of clips as numpy arrays, for every framework.

Clips are loaded by threads or by worker processes; forking a process with framework threads would be unsafe.
The order of clips depends only on seed and epoch, not on the workers or ranks.
"""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from trishift.data.dataset import ClipDataset
from trishift.data.sample import Sample
from trishift.errors import RecipeError, TrishiftError
from trishift.io import workers as processes

_LOG = logging.getLogger(__name__)
_PADDING = -1  # dataset index of a padding sample
_BATCHES_AHEAD = 2
_WORTH_PROCESSES = 500  # clips; fewer are loaded before processes make up for their start


@dataclass(frozen=True)
class Batch:
    """A rank's part of a batch.

    Attributes:
        clips: (N, V, T, C, H, W) float32, or uint8, see `ClipDataset.normalization`.
        targets: (N,) int64, or (N, K) float32 in multi-label sets.
        indices: (N,) int64, dataset indices of the clips; -1 for padding.
        valid: (N,) bool, false for padding and unreadable clips (whose pixels are zero).
    """

    clips: np.ndarray
    targets: np.ndarray
    indices: np.ndarray
    valid: np.ndarray


class Loader:
    """Iterates over a dataset in batches.

    Args:
        dataset: clips to load.
        batch_size: clips per batch over all ranks; a multiple of `world_size`.
        shuffle: draw the order of every epoch (`ClipDataset.draw_order`).
        seed: seed of the order.
        rank, world_size: this process gets clips rank, rank + world_size, ... of every batch.
        workers: number of threads or processes that load clips.
        only: dataset indices to load, in this order, without `shuffle`; None: all.
        drop_last: drop an incomplete last batch; otherwise it is padded to a multiple of `world_size`.
        epochs: how often the clips will be loaded, which decides whether processes are worth their start.

    Raises:
        RecipeError: the data set asks for processes, which this system does not support.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 2,
        only: Sequence[int] | np.ndarray | None = None,
        drop_last: bool = False,
        epochs: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(f"batch_size {batch_size} is not a multiple of world_size {world_size}")
        self._dataset, self._batch_size = dataset, batch_size
        self._shuffle, self._seed = shuffle, seed
        self._rank, self._world_size = rank, world_size
        self._workers, self._drop_last = max(1, workers), drop_last
        self._order = np.arange(len(dataset)) if only is None else np.array(only, np.int64)
        self._uses_processes = self._chooses_processes(epochs)
        self._processes: processes.Workers | None = None

    def close(self) -> None:
        """End the processes, if there are any; otherwise they end with this object."""
        if self._processes is not None:
            self._end()
            self._processes = None

    def __len__(self) -> int:
        whole, rest = divmod(len(self._order), self._batch_size)
        return whole + (rest > 0 and not self._drop_last)

    def batches(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch, starting with number `start`; earlier ones are not decoded.

        Raises:
            DataError: a clip cannot be read, and the dataset does not skip such clips.
            RuntimeError: loading a clip failed unexpectedly; names the clip.
        """
        size = self._batch_size // self._world_size
        clips = self._plan(epoch)[start * size :]
        ahead = _BATCHES_AHEAD * size + self._workers
        pending: deque[Future[Any]] = deque()
        submitted = 0
        with self._loading() as (submit, take):
            try:
                for first in range(0, len(clips), size):
                    batch = clips[first : first + size]
                    for index, use in clips[submitted : first + len(batch) + ahead].tolist():
                        pending.append(submit(index, epoch, use))
                    submitted = first + len(batch) + ahead
                    yield _assemble(batch[:, 0], [take(pending.popleft().result()) for _ in batch])
            finally:
                for future in pending:
                    future.cancel()

    @contextmanager
    def _loading(self) -> Iterator[tuple[Callable[..., Future[Any]], Callable[[Any], Sample]]]:
        """Workers, and what makes a sample of their results."""
        if self._uses_processes and (workers := self._started()):
            yield workers.submit, self._received
        else:
            executor = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
            try:
                yield lambda *clip: executor.submit(_load, self._dataset, *clip), lambda sample: sample
            finally:
                executor.shutdown(wait=False)

    def _started(self) -> processes.Workers | None:
        """The processes, which stay for the next epochs; None if they cannot be started and threads are as good."""
        if self._processes is None:
            loading = partial(_load_remotely, self._dataset)
            try:
                self._processes = processes.Workers(loading, self._workers, "data.workers: a process that loads clips")
            except OSError as error:
                reason = f"data.worker_type: processes cannot be started ({error.strerror or error})"
                if self._dataset.worker_type == "processes":
                    raise RecipeError(f"{reason}; set data.worker_type=threads, or fewer data.workers") from None
                _LOG.warning("%s; threads load the clips", reason)
                self._uses_processes = False
                return None
            self._end = weakref.finalize(self, self._processes.close)
        return self._processes

    def _received(self, returned: processes.Returned) -> Sample:
        clips, (target, valid, misses) = returned
        self._dataset.add_misses(misses)
        return Sample(clips, target, valid)

    def _chooses_processes(self, epochs: int) -> bool:
        """Whether processes load the clips, instead of threads, which take turns at the interpreter lock."""
        if self._dataset.worker_type != "auto":
            if self._dataset.worker_type == "processes" and not processes.available():
                raise RecipeError("data.worker_type: processes need Linux; set data.worker_type=threads")
            return self._dataset.worker_type == "processes"
        possible = processes.available() and type(self._dataset).__module__ != "__main__"  # which is not imported
        return possible and self._workers > 1 and epochs * len(self._order) >= _WORTH_PROCESSES

    def _plan(self, epoch: int) -> np.ndarray:
        """This rank's clips in the order of loading: (n, 2) dataset indices and earlier uses in the epoch."""
        order = self._order
        if self._shuffle:
            order = self._dataset.draw_order(np.random.default_rng((self._seed, epoch)))
        clips = np.stack([order, _earlier_uses(order)], axis=1)[: len(self) * self._batch_size]
        padding = np.full((-len(clips) % self._world_size, 2), _PADDING)
        return np.concatenate([clips, padding])[self._rank :: self._world_size]


def _load(dataset: ClipDataset, index: int, epoch: int, use: int) -> Sample:
    if index == _PADDING:
        return dataset.padding
    try:
        return dataset.load(index, epoch, use)
    except TrishiftError:
        raise
    except Exception as error:
        raise RuntimeError(f"{dataset.name(index)}: loading failed: {error!r}") from error


def _load_remotely(dataset: ClipDataset, index: int, epoch: int, use: int) -> processes.Returned:
    """Load a clip in a worker process, with everything that the data set's owner must know."""
    sample = _load(dataset, index, epoch, use)
    return sample.clips, (sample.target, sample.valid, dataset.take_misses())


def _earlier_uses(order: np.ndarray) -> np.ndarray:
    """How often each entry of `order` appears before it."""
    if (order[1:] > order[:-1]).all():
        return np.zeros_like(order)
    by_index = np.argsort(order, kind="stable")
    grouped = order[by_index]
    uses = np.empty_like(order)
    uses[by_index] = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    return uses


def _assemble(indices: np.ndarray, samples: list[Sample]) -> Batch:
    return Batch(
        np.stack([sample.clips for sample in samples]),
        np.stack([sample.target for sample in samples]),
        indices,
        np.array([sample.valid for sample in samples]),
    )
