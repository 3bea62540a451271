"""Batches of waiting requests: what they compute, and how they form."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from trishift.serving.batching import Batcher, is_independent

SHAPE = (2, 3, 4, 4)  # of a clip


def predict(clips: np.ndarray) -> np.ndarray:
    return clips.mean(axis=(1, 3, 4))


class Gate:
    """A predictor that waits in its first call until it is opened, and records the sizes of its batches."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.sizes: list[int] = []

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        self.sizes.append(len(clips))
        self.entered.set()
        assert self.opened.wait(10)
        return predict(clips)


def clips_of(*views: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((count, *SHAPE), np.float32) for count in views]


def test_requests_that_wait_share_a_batch() -> None:
    gate = Gate()
    batcher = Batcher(gate, 4, 0.0)
    requests = clips_of(1, 1, 2, 3, 1)
    futures = [batcher.submit(requests[0])]
    assert gate.entered.wait(10)
    futures += [batcher.submit(clips) for clips in requests[1:]]
    gate.opened.set()
    for clips, future in zip(requests, futures, strict=True):
        np.testing.assert_allclose(future.result(10), predict(clips).mean(axis=0), rtol=1e-5, atol=1e-6)
    batcher.close()
    assert gate.sizes == [1, 4, 2, 1]  # 1; 1 + 2 + 3 in two passes; 1


def test_incomplete_batch_waits_for_more() -> None:
    gate = Gate()
    gate.opened.set()
    batcher = Batcher(gate, 2, 10.0)
    for future in [batcher.submit(clips) for clips in clips_of(1, 1)]:
        future.result(10)
    batcher.close()
    assert gate.sizes == [2]


def test_requests_that_gave_up_are_not_computed() -> None:
    gate = Gate()
    batcher = Batcher(gate, 1, 0.0)
    first, second = (batcher.submit(clips) for clips in clips_of(1, 1))
    assert gate.entered.wait(10)
    assert second.cancel()
    gate.opened.set()
    first.result(10)
    batcher.close()
    assert gate.sizes == [1]


def test_failure_reaches_its_request_only() -> None:
    calls = itertools.count()

    def fail_once(clips: np.ndarray) -> np.ndarray:
        if next(calls) == 0:
            raise ValueError("out of memory")
        return predict(clips)

    batcher = Batcher(fail_once, 1, 0.0)
    first, second = (batcher.submit(clips) for clips in clips_of(1, 1))
    with pytest.raises(ValueError, match="out of memory"):
        first.result(10)
    assert second.result(10).shape == (3,)
    batcher.close()


def test_close_finishes_what_waits() -> None:
    batcher = Batcher(predict, 2, 0.0)
    futures = [batcher.submit(clips) for clips in clips_of(1, 1, 1)]
    batcher.close()
    assert all(future.done() for future in futures)


def test_models_that_mix_clips_are_found() -> None:
    assert is_independent(predict, SHAPE)
    assert not is_independent(lambda clips: predict(clips) - predict(clips).mean(axis=0), SHAPE)
