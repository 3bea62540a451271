"""Batches do not depend on workers or ranks, resume exactly, and report errors with the clip's name."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest

from trishift.data.loader import Batch, Loader
from trishift.data.sample import Sample
from trishift.errors import DataError, RecipeError, TrishiftError
from trishift.io import workers

CLIPS = 23


class Clips:
    """A dataset whose pixels tell index and epoch; remembers what was loaded and by which threads."""

    worker_type = "threads"
    clip_shape = (1, 2, 3, 4, 4)
    padding = Sample(np.zeros(clip_shape, np.float32), np.int64(-1), valid=False)

    def __init__(self, failing: dict[int, Exception] | None = None) -> None:
        self.loaded: list[int] = []
        self.threads: set[threading.Thread] = set()
        self._failing = failing or {}

    def __len__(self) -> int:
        return CLIPS

    def name(self, index: int) -> str:
        return f"clip{index}.mp4"

    def draw_order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(np.arange(CLIPS))

    def load(self, index: int, epoch: int, use: int) -> Sample:
        self.loaded.append(index)
        self.threads.add(threading.current_thread())
        if index in self._failing:
            raise self._failing[index]
        return Sample(np.full(self.clip_shape, index + 100 * epoch, np.float32), np.int64(index % 5))


def loader(dataset: Clips | None = None, batch_size: int = 4, **options: object) -> Loader:
    return Loader(dataset or Clips(), batch_size, **{"shuffle": True, **options})  # type: ignore[arg-type]


def indices(batches: Iterator[Batch]) -> list[list[int]]:
    return [batch.indices.tolist() for batch in batches]


def test_epoch_contains_every_clip_once() -> None:
    batches = list(loader().batches(epoch=2))
    assert sorted(i for batch in batches for i in batch.indices) == list(range(CLIPS))
    for batch in batches:
        assert batch.clips.dtype == np.float32 and batch.clips.shape[1:] == Clips.clip_shape
        np.testing.assert_array_equal(batch.clips[:, 0, 0, 0, 0, 0], batch.indices + 200)
        np.testing.assert_array_equal(batch.targets, batch.indices % 5)
        assert batch.valid.all()


def test_order_depends_only_on_seed_and_epoch() -> None:
    reference = indices(loader(workers=1).batches(0))
    assert indices(loader(workers=4).batches(0)) == reference
    assert indices(loader().batches(1)) != reference
    assert indices(loader(seed=1).batches(0)) != reference
    assert list(chain(*indices(loader(shuffle=False).batches(7)))) == list(range(CLIPS))


class Repeating(Clips):
    """Draws some clips several times; the pixels tell the use."""

    def draw_order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(4, size=CLIPS)

    def load(self, index: int, epoch: int, use: int) -> Sample:
        return Sample(np.full(self.clip_shape, use, np.float32), np.int64(index))


def test_repeated_clips_count_their_uses() -> None:
    def uses(start: int = 0, rank: int = 0, world_size: int = 1) -> list[list[tuple[int, int]]]:
        batches = loader(Repeating(), rank=rank, world_size=world_size, drop_last=True).batches(0, start)
        return [[(int(i), int(c.max())) for i, c in zip(b.indices, b.clips, strict=True)] for b in batches]

    whole = uses()
    flat = list(chain(*whole))
    assert len(set(flat)) == len(flat) == 20 and max(use for _, use in flat) > 2
    assert all((index, use - 1) in flat[:place] for place, (index, use) in enumerate(flat) if use)
    assert uses(start=3) == whole[3:]
    assert uses(rank=1, world_size=2) == [batch[1::2] for batch in whole]


@pytest.mark.parametrize("start", [0, 2, 5, 6])
def test_epoch_resumes_without_loading_earlier_batches(start: int) -> None:
    whole = indices(loader().batches(3))
    dataset = Clips()
    assert indices(loader(dataset).batches(3, start)) == whole[start:]
    assert sorted(dataset.loaded) == sorted(chain(*whole[start:]))


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_split_single_process_batches(world_size: int, drop_last: bool) -> None:
    options = {"batch_size": 6, "drop_last": drop_last}
    single = list(loader(**options).batches(0))
    ranks = [list(loader(**options, rank=r, world_size=world_size).batches(0)) for r in range(world_size)]
    assert len(single) == len(loader(**options)) == (3 if drop_last else 4)
    for number, whole in enumerate(single):
        parts = [rank[number] for rank in ranks]
        assert len({part.clips.shape for part in parts}) == 1
        together = np.empty(sum(len(part.indices) for part in parts), int)
        for rank, part in enumerate(parts):
            together[rank::world_size] = part.indices
        assert together[: len(whole.indices)].tolist() == whole.indices.tolist()
        assert (together[len(whole.indices) :] == -1).all()


def test_padding_is_marked_invalid() -> None:
    last = list(loader(batch_size=6, rank=2, world_size=3, shuffle=False).batches(0))[-1]
    assert last.indices.tolist() == [20, -1]
    assert last.valid.tolist() == [True, False]
    assert not last.clips[1].any()


def test_rejects_batch_size_that_ranks_cannot_share() -> None:
    with pytest.raises(ValueError, match="multiple of world_size"):
        loader(batch_size=5, world_size=2)


def test_errors_name_the_clip() -> None:
    known = Clips({7: DataError("clip7.mp4: not a video")})
    with pytest.raises(DataError, match=r"clip7\.mp4: not a video"):
        list(loader(known).batches(0))
    unforeseen = Clips({7: ZeroDivisionError("oh")})
    with pytest.raises(RuntimeError, match=r"clip7\.mp4") as error:
        list(loader(unforeseen).batches(0))
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_batches_before_an_error_are_delivered() -> None:
    dataset = Clips({20: DataError("clip20.mp4: not a video")})
    batches = loader(dataset, shuffle=False).batches(0)
    assert indices(islice(batches, 5)) == [[4 * i + j for j in range(4)] for i in range(5)]
    with pytest.raises(DataError):
        next(batches)


def test_prefetching_is_bounded_and_stops_on_close() -> None:
    dataset = Clips()
    batches = loader(dataset, batch_size=2, workers=2).batches(0)
    next(batches)
    batches.close()
    for thread in tuple(dataset.threads):  # a copy: a worker may still begin its first clip
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in tuple(dataset.threads))
    assert 2 <= len(dataset.loaded) <= 2 + 2 * 2 + 2  # the batch, two batches ahead, one clip a worker


def test_threads_end_after_epoch_or_error() -> None:
    for dataset in (Clips(), Clips({3: DataError("no")})):
        with suppress(DataError):
            list(loader(dataset, workers=3).batches(0))
        for thread in dataset.threads:
            thread.join(timeout=30)
        assert dataset.threads and not any(thread.is_alive() for thread in dataset.threads)


class Remote(Clips):
    """Clips that know the process they were loaded in; a few cannot be read, depending on the epoch."""

    def __init__(self, worker_type: str) -> None:
        super().__init__()
        self.worker_type = worker_type
        self.misses: dict[int, str] = {}

    def take_misses(self) -> dict[int, str]:
        taken, self.misses = self.misses, {}
        return taken

    def add_misses(self, misses: dict[int, str]) -> None:
        self.misses |= misses

    def load(self, index: int, epoch: int, use: int) -> Sample:
        if epoch == 8 and index == 7:
            raise DataError("clip7.mp4: not a video")
        if epoch == 9 and index == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if index in (3, 20):
            self.misses[index] = f"{epoch}"
        pixels = np.random.default_rng((epoch, index, use)).random(self.clip_shape)
        return Sample(pixels, np.int64(os.getpid()), valid=index != 3)

    def __getstate__(self) -> dict[str, object]:
        return {"misses": {}}


@pytest.mark.skipif(not workers.available(), reason="the system has no memory that processes share by descriptor")
def test_processes_load_the_same_batches() -> None:
    remote = Remote("processes")
    local, processes = loader(Remote("threads")), loader(remote)
    for start in (0, 4):
        found = list(processes.batches(2, start))
        for batch, expected in zip(found, local.batches(2, start), strict=True):
            for values, others in ((batch.clips, expected.clips), (batch.indices, expected.indices)):
                np.testing.assert_array_equal(values, others)
            np.testing.assert_array_equal(batch.valid, expected.valid)
    assert remote.misses == {3: "2", 20: "2"}
    with pytest.raises(DataError, match=r"clip7\.mp4: not a video"):
        list(processes.batches(8))
    pids = {int(pid) for batch in processes.batches(0) for pid in batch.targets}
    assert len(pids) == 2 and os.getpid() not in pids
    with pytest.raises(TrishiftError, match=r"data\.workers: a process that loads clips was ended by SIGKILL"):
        list(processes.batches(9))
    processes.close()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_processes_are_chosen_for_many_clips() -> None:
    def chosen(worker_type: str = "auto", **options: object) -> bool:
        return loader(Remote(worker_type), **options)._uses_processes

    assert chosen(epochs=30) == chosen("processes", workers=1) == workers.available()
    assert not any([chosen(), chosen(epochs=30, workers=1), chosen("threads", epochs=30)])


def test_systems_without_processes_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with pytest.raises(RecipeError, match=r"data\.worker_type=threads"):
        loader(Remote("processes"))
    assert not loader(Remote("auto"), epochs=30)._uses_processes


def test_threads_replace_processes_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(workers, "Workers", fail)
    monkeypatch.setattr(workers, "available", lambda: True)
    with pytest.raises(RecipeError, match=r"cannot be started \(Resource .*; set data\.worker_type=threads"):
        list(loader(Remote("processes")).batches(0))
    chosen = loader(Remote("auto"), epochs=30)
    assert len(list(chosen.batches(0))) == len(list(chosen.batches(1))) == len(chosen)
    assert caplog.text.count("threads load the clips") == 1
