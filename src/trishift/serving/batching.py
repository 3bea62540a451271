"""Dynamic batching: requests that wait at the same time share a forward pass.

Shape legend: V views of a request, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from trishift.checkpoints.verification import TOLERANCE

_Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Job:
    clips: np.ndarray
    logits: Future[np.ndarray] = field(default_factory=Future)


class Batcher:
    """Runs a model in a thread on the views of all requests that wait.

    Args:
        predict: clips (N, T, C, H, W) to logits (N, K).
        size: views per forward pass, at most.
        wait: seconds that an incomplete batch waits for more requests.
        observe: called with the number of views of each forward pass.
    """

    def __init__(
        self, predict: _Predict, size: int, wait: float, observe: Callable[[int], object] = lambda views: None
    ) -> None:
        self._predict, self._size, self._wait, self._observe = predict, size, wait, observe
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def submit(self, clips: np.ndarray) -> Future[np.ndarray]:
        """Queue the views (V, T, C, H, W) of a request; the result is its logits (K,), averaged over views."""
        job = _Job(clips)
        self._jobs.put(job)
        return job.logits

    def close(self) -> None:
        """Finish the requests that wait, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._gather():
            jobs = [job for job in jobs if job.logits.set_running_or_notify_cancel()]  # without those that gave up
            try:
                for job, logits in zip(jobs, self._compute([job.clips for job in jobs]), strict=True):
                    job.logits.set_result(logits)
            except Exception as error:
                for job in jobs:
                    if not job.logits.done():
                        job.logits.set_exception(error)

    def _gather(self) -> list[_Job]:
        """Requests for the next forward pass; none at the end."""
        job = self._jobs.get()
        jobs: list[_Job] = []
        deadline = time.monotonic() + self._wait
        while job is not None:
            jobs.append(job)
            if sum(len(job.clips) for job in jobs) >= self._size:
                return jobs
            try:
                job = self._jobs.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return jobs
        if jobs:
            self._jobs.put(None)  # for the next call
        return jobs

    def _compute(self, requests: list[np.ndarray]) -> list[np.ndarray]:
        if not requests:
            return []
        clips = np.concatenate(requests)
        passes = [clips[start : start + self._size] for start in range(0, len(clips), self._size)]
        for views in passes:
            self._observe(len(views))
        logits = np.concatenate([self._predict(views) for views in passes])
        ends = np.cumsum([len(views) for views in requests])[:-1]
        return [part.mean(axis=0) for part in np.split(logits, ends)]


def is_independent(predict: _Predict, clip_shape: tuple[int, ...]) -> bool:
    """Whether the logits of a clip (T, C, H, W) do not depend on its batch, up to the tolerance of conversions."""
    clips = np.random.default_rng(0).standard_normal((2, *clip_shape), np.float32)
    together, alone = predict(clips), np.concatenate([predict(clips[:1]), predict(clips[1:])])
    return bool(np.abs(together - alone).max() <= TOLERANCE * np.abs(alone).max())
