"""Processes that start from different weights are refused; threads of one process stand for them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from trishift.errors import TrainingError
from trishift.training.nodes import check_start

SIZE = 2


class FakeSession:
    """A rank with one tensor."""

    world_size = SIZE
    _barrier, _arrays = threading.Barrier(SIZE), [np.empty(0)] * SIZE

    def __init__(self, rank: int, weight: float) -> None:
        self.rank, self._weight = rank, weight

    def dump_tensors(self) -> dict[str, np.ndarray]:
        return {"head.fc.weight": np.full(3, self._weight, np.float32)}

    def gather(self, array: np.ndarray) -> np.ndarray:
        self._arrays[self.rank] = array
        self._barrier.wait(30)
        everything = np.concatenate(self._arrays)
        self._barrier.wait(30)
        return everything


def outcomes(*weights: float) -> list[str]:
    def outcome(rank: int) -> str:
        session: Any = FakeSession(rank, weights[rank])
        try:
            check_start(session)
        except TrainingError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(SIZE) as pool:
        return list(pool.map(outcome, range(SIZE)))


def test_equal_weights_are_accepted() -> None:
    assert outcomes(0.5, 0.5) == ["", ""]


@pytest.mark.parametrize("other", [0.25, np.nextafter(np.float32(0.5), np.float32(1))])
def test_other_weights_are_refused_by_all(other: float) -> None:
    first, second = outcomes(0.5, float(other))
    assert first == second
    assert first.startswith("rank 1 on ") and " has weights " in first and "; give all machines the same" in first
