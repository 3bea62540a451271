"""Growth of time and memory with the size of the task; linear growth has the exponent 1.

Every curve is measured at several sizes, each in a process of its own, in interleaved rounds. The exponent is the slope
of the fit in logarithms. Memory is the peak beyond that of the opened model or data.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.interleaved import CLOCK, CLOCKS, Call, opened
from benchmarks.media import generated, list_file
from benchmarks.options import Options, noise
from benchmarks.resident import megabytes, peak_megabytes
from benchmarks.rows import Row
from benchmarks.suite import inference, train
from benchmarks.suite.decode import read

from trishift.data.protocol import named_protocol
from trishift.model.spec import ModelSpec, ShiftSpec

TARGET = 1.1  # linear, with room for the noise of the measurement
SMALLEST = 1e-3  # seconds or MB that count as nothing
FRAMES_PER_HOUR = 25 * 3600
Makers = Mapping[float, Callable[[], Call]]


def rows(options: Options) -> Iterator[Row]:
    """Two rows per curve: time and memory."""
    quick = options.quick
    side = 32 if quick else 112
    curves: dict[str, Makers] = {
        "prediction, frames per clip": {
            frames: partial(predicting, options, frames, side) for frames in ((4, 8) if quick else (8, 16, 32, 64))
        },
        "training step, frames per clip": {
            frames: partial(training, options, frames, side) for frames in ((4, 8) if quick else (8, 16, 32, 64))
        },
        "prediction, pixels per frame": {
            size**2: partial(predicting, options, 8, size) for size in ((32, 64) if quick else (112, 160, 224, 320))
        },
        "prediction of a video, views": {
            views: partial(viewing, options, name, side)
            for views, name in ({1: "1x1", 3: "1x3"} if quick else {1: "1x1", 5: "1x5", 10: "10x1", 30: "10x3"}).items()
        },
        "reading a list, clips": {
            count: partial(listing, options, count) for count in ((100, 1000) if quick else (10**4, 10**5, 10**6))
        },
        "reading 8 frames of a video, hours": {
            frames / FRAMES_PER_HOUR: partial(watching, options, frames)
            for frames in ((12, 24) if quick else (1500, 15_000, 90_000))
        },
        "streaming, frames": {
            frames: partial(streaming, options, frames) for frames in ((2, 4) if quick else (100, 1_000, 10_000))
        },
    }
    for name, makers in curves.items():
        yield from curve(name, makers, options)


def curve(name: str, makers: Makers, options: Options) -> Iterator[Row]:
    """The exponents of time and memory, with their points."""
    seconds: dict[float, list[float]] = {size: [] for size in makers}
    memory: dict[float, float] = {}
    with opened({str(size): make for size, make in makers.items()}, apart=not options.quick) as (calls, failures):
        for number in range(min(options.rounds, 2) + 1):
            for size in makers if not failures else ():
                taken, memory[size] = calls[str(size)]()
                if number or options.quick:
                    seconds[size].append(taken)
    note = "; ".join(failures.values())
    times = [(size, statistics.median(values)) for size, values in seconds.items() if values]
    yield Row(f"{name}: time", exponent(times), target=TARGET, unit="", note=note, points=times)
    grown = list(memory.items())
    yield Row(f"{name}: memory", exponent(grown), target=TARGET, unit="", note=note, points=grown)


def exponent(points: list[tuple[float, float]]) -> float | None:
    """Slope of the line through the points in logarithms; None if memory does not grow."""
    if len(points) < 2:
        return None
    x, y = np.log([(size, max(figure, SMALLEST)) for size, figure in points]).T
    return round(float(np.polyfit(x, y, 1)[0]), 2) + 0.0


def timed(work: Call) -> Call:
    """A function that returns the seconds of the work, and the peak of memory beyond the present one in MB."""
    before, clock = megabytes(), CLOCKS[os.environ.get(CLOCK, "wall")]

    def call() -> tuple[float, float]:
        start = clock()
        work()
        return clock() - start, max(0.0, peak_megabytes() - before)

    return call


def predicting(options: Options, frames: int, side: int) -> Call:
    """Prediction of one clip."""
    spec = replace(options.spec, num_segments=frames)
    return timed(inference.prediction(options.checkpoint(spec, side), noise(1, spec, side)))


def training(options: Options, frames: int, side: int) -> Call:
    """A training step of one clip."""
    return timed(train.step(replace(options.spec, num_segments=frames), side, batch=1))


def viewing(options: Options, protocol: str, side: int) -> Call:
    """Prediction of a video under a protocol."""
    import trishift

    model = trishift.load(options.checkpoint(size=side))
    [video] = generated(options)
    return timed(lambda: model.predict(video, protocol=named_protocol(protocol)))


def listing(options: Options, count: int) -> Call:
    """Reading a list."""
    from trishift.data.lists import read_list

    return timed(partial(read_list, list_file(options, count)))


def watching(options: Options, frames: int) -> Call:
    """Reading 8 frames of a long video."""
    small = Options(options.folder, quick=True)
    path: Path = generated(small, frames=frames)[0]
    return timed(partial(read, path))


def streaming(options: Options, frames: int) -> Call:
    """A stream of frames through a small online model."""
    from trishift.backends import open_session
    from trishift.model.spec import default_input
    from trishift.streaming.stream import Stream

    spec = ModelSpec("resnet10", 27, width=8, shift=ShiftSpec(direction="unidirectional"))
    stream = Stream(open_session("pytorch", spec), default_input(spec.backbone))
    frame = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)

    def work() -> None:
        stream.reset()
        for _ in range(frames):
            stream.step(frame)

    return timed(work)
