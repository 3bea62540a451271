"""Processes that notice each other's end; threads of one process stand for them."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable

import pytest

from trishift.io.lifeline import Lifeline

SIZE = 3


class Job:
    """Lifelines of all ranks, and the sentences that each was told."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.told: list[queue.Queue[str]] = [queue.Queue() for _ in range(SIZE)]
        self.lines: dict[int, Lifeline] = {}
        self.errors: list[OSError] = []
        self._texts, self._barrier = [""] * SIZE, threading.Barrier(SIZE)
        threads = [threading.Thread(target=self._open, args=(rank, address)) for rank in range(SIZE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    def _gather(self, rank: int) -> Callable[[str], list[str]]:
        def gather(text: str) -> list[str]:
            self._texts[rank] = text
            self._barrier.wait(60)
            texts = list(self._texts)
            self._barrier.wait(60)
            return texts

        return gather

    def _open(self, rank: int, address: str) -> None:
        try:
            self.lines[rank] = Lifeline(rank, SIZE, address, self._gather(rank), self.told[rank].put)
        except OSError as error:
            self.errors.append(error)

    def kill(self, rank: int) -> None:
        """What the kernel does with the connections of a process that is killed."""
        line = self.lines.pop(rank)
        line._ended.set()
        for connection in line._peers:
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for line in self.lines.values():
            line.close()

    def assert_silent(self, *ranks: int) -> None:
        for rank in ranks:
            with pytest.raises(queue.Empty):
                self.told[rank].get(timeout=0.2)


def test_all_ranks_learn_of_one_that_is_gone() -> None:
    job = Job()
    job.kill(2)
    sentences = [job.told[rank].get(timeout=10) for rank in (0, 1)]
    assert all(sentence.startswith(f"rank 2 on {socket.gethostname()} is gone") for sentence in sentences)
    job.close()


def test_ranks_learn_that_the_first_is_gone() -> None:
    job = Job()
    job.kill(0)
    assert job.told[1].get(timeout=10).startswith("rank 0 on")
    assert job.told[2].get(timeout=10).startswith("rank 0 on")
    job.close()


def test_an_error_reaches_all_ranks_in_its_own_words() -> None:
    job = Job()
    job.lines.pop(1).close("clip.mp4: cannot be read;\ncheck it")
    expected = f"rank 1 on {socket.gethostname()}: clip.mp4: cannot be read; check it"
    assert [job.told[rank].get(timeout=10) for rank in (0, 2)] == [expected] * 2
    job.close()


def test_ends_in_any_order_disturb_nobody() -> None:
    for order in ((0, 1, 2), (2, 0, 1)):
        job = Job()
        for rank in order:
            job.lines.pop(rank).close()
        job.assert_silent(0, 1, 2)


def test_a_rank_that_cannot_reach_the_first_is_named_by_all() -> None:
    job = Job("127.0.0.1 is no address")
    assert len(job.errors) == SIZE
    assert all("cannot reach rank 0 at 127.0.0.1 is no address" in str(error) for error in job.errors)
