"""Prediction of long lists: clips per second, the start of a list of a million clips, and memory.

`infer` predicts a list to JSON lines with the journal of its job; the loader alone reads the same clips, and the model
alone gets as many batches of one that was read before.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.interleaved import CLOCK, CLOCKS, Call, measure
from benchmarks.media import generated, own
from benchmarks.options import Options
from benchmarks.resident import family_megabytes, megabytes
from benchmarks.rows import Row
from benchmarks.suite.loader import long_list

import trishift
from trishift.api import Model
from trishift.data.lists import ClipList, read_list
from trishift.data.loader import Loader
from trishift.data.opening import unlabeled_set
from trishift.data.protocol import Protocol
from trishift.evaluation.prediction_job import open_prediction_job
from trishift.model.spec import InputSpec, ModelSpec

BATCH, WORKERS = 8, 2
SHARE, GROWTH = 0.95, 10.0


def rows(options: Options) -> Iterator[Row]:
    """Speed, start and memory."""
    yield speed(options)
    yield from long_list(options, "`infer` on a list", starting)
    yield flat(options)


def speed(options: Options) -> Row:
    """Clips per second of a job against its parts, one after the other."""
    videos = own(options, 8) or generated(options, count=2 if options.quick else 8)
    clips = ClipList.of(videos * (2 if options.quick else 4))
    model = trishift.load(options.checkpoint(), runtime="auto")
    dataset = unlabeled_set(clips, model.input, model.spec, Protocol())
    dataset.normalize_for(model.session.accept_pixels)
    batch = next(Loader(dataset, BATCH, shuffle=False, workers=WORKERS).batches(0)).clips
    views = batch.reshape(-1, *batch.shape[2:])  # (N * V, T, C, H, W)

    def read() -> None:
        for _ in Loader(dataset, BATCH, shuffle=False, workers=WORKERS).batches(0):
            pass

    def compute() -> None:
        for start in range(0, len(clips), BATCH):
            model.session.predict(views[: len(clips) - start])

    times = measure({"infer": partial(job, model, clips), "loader": read, "model": compute}, options.rounds)
    parts = [first + second for first, second in zip(times["loader"], times["model"], strict=True)]
    gain = statistics.median(whole / each for whole, each in zip(parts, times["infer"], strict=True))
    rates = [1000 * len(clips) / statistics.median(values) for values in (times["infer"], parts)]
    name = "`infer` against the loader and the model, one after the other"
    return Row(name, *rates, ratio=gain, target=SHARE, unit="clips/s", at_least=True)


def job(model: Model, clips: ClipList) -> None:
    """Predict a list to a file."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in running(model, clips, Path(folder) / "predictions.jsonl"):
            pass


def running(model: Model, clips: ClipList, output: Path) -> Iterator[int]:
    """Predict a list to a file; yields the number of videos that are done."""
    with open_prediction_job(output, {}, len(clips), top_k=5) as found:
        done = 0
        for results in model.predict_batches(clips, batch_size=BATCH, workers=WORKERS):
            found.add(results, {})
            done += len(results)
            yield done
        found.finish()


def starting(path: Path) -> Call:
    """Seconds and bytes per entry until the first clip: reading and hashing the list, the journal, and the order."""

    clock = CLOCKS[os.environ.get(CLOCK, "wall")]

    def call() -> tuple[float, float]:
        first_batch(ClipList.of([Path("gone.mp4")]))  # imports what reads videos
        before, start = megabytes(), clock()
        clips = read_list(path)
        first_batch(clips)
        return clock() - start, 2**20 * (megabytes() - before) / len(clips)

    return call


def first_batch(clips: ClipList) -> None:
    """Open the job of a list and load its first clips, which cannot be read."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_prediction_job(Path(folder) / "p.jsonl", {"list": clips.digest()}, len(clips), top_k=5) as found,
    ):
        dataset = unlabeled_set(clips, InputSpec(), ModelSpec(num_classes=400), Protocol())
        next(Loader(dataset, BATCH, shuffle=False, only=found.pending()).batches(0))


def flat(options: Options) -> Row:
    """Growth of resident memory over many predictions, after the first tenth of them; with the loader's processes."""
    count = 40 if options.quick else 20_000
    tiny = replace(options, quick=True)
    model, clips = trishift.load(tiny.checkpoint(), runtime="native"), ClipList.of(generated(tiny) * count)
    before = np.inf
    with tempfile.TemporaryDirectory() as folder:
        for done in running(model, clips, Path(folder) / "predictions.jsonl"):
            if done >= count // 10 and before == np.inf:
                gc.collect()
                before = family_megabytes()
        gc.collect()
        growth = max(0.0, family_megabytes() - before)
    return Row(f"memory growth over {count:,} predictions", growth, target=GROWTH, unit="MB")
