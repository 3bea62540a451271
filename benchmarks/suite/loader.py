"""Clips per second of the loader: gain of two workers, kinds of sources, and memory over long lists.

`decoding` reads 8 frames of every clip and keeps a corner of them. `pipeline` makes normalized training clips of
224 x 224. The videos are those of `--clips`, else generated ones.
"""

from __future__ import annotations

import gc
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.interleaved import Call, measure, opened
from benchmarks.media import converted, generated, list_file, own
from benchmarks.options import Options
from benchmarks.resident import family_megabytes, megabytes
from benchmarks.rows import Row

from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import DataSpec, TrainingSet
from trishift.data.lists import VideoRecord, read_list, write_list
from trishift.data.loader import Loader
from trishift.data.prepare.shards import prepare_shards
from trishift.data.transforms import AugmentationSpec
from trishift.model.spec import InputSpec, ModelSpec

BATCH, FRAMES = 4, 8
CORNER = InputSpec(resize=32, crop=32)  # the cheapest transform
GAIN, SECONDS, BYTES, GROWTH = 1.85, 5.0, 200.0, 10.0
EPOCHS = 20
WORK = {"decoding": CORNER, "pipeline": InputSpec()}


def rows(options: Options) -> Iterator[Row]:
    """Gain of workers, sources, memory, and long lists."""
    count = 4 if options.quick else 48
    videos = own(options, count) or generated(options, count=2 if options.quick else 8) * (count // 8 or 2)
    yield from workers(videos[: len(videos) // BATCH * BATCH], options)
    yield from sources(options)
    yield flat(options)
    yield from long_list(options, "a list", starting)


def training_set(paths: list[Path], pixels: InputSpec) -> TrainingSet:
    """Clips for training; only `pixels` decides how much work they are."""
    model = ModelSpec(num_classes=1000, num_segments=FRAMES)
    spec = DataSpec(augmentation=AugmentationSpec(scales=(1.0,) if pixels is CORNER else AugmentationSpec().scales))
    records = [VideoRecord(path, (0,), None, number) for number, path in enumerate(paths, 1)]
    return TrainingSet(records, ["class"] * 1000, ClipReader(pixels, model), spec)


def workers(videos: list[Path], options: Options) -> Iterator[Row]:
    """Two workers against one, and against torch's processes."""
    for work, pixels in WORK.items():
        pixels = CORNER if options.quick else pixels
        calls = {str(count): epoch(videos, pixels, count, 1 if options.quick else EPOCHS) for count in (1, 2)}
        if importlib.util.find_spec("torch") and not options.quick:
            calls["torch"] = torch_processes(videos, pixels)
        times = measure(calls, options.rounds)
        title = f"{work}, 2 workers"
        yield rates(f"{title} against 1", times, len(videos), "2", "1", GAIN)
        if "torch" in times:
            yield rates(f"{title} against torch's DataLoader of 2 processes", times, len(videos), "2", "torch")


def epoch(videos: list[Path], pixels: InputSpec, workers: int, epochs: int = 1) -> Call:
    """An epoch of the loader, one of so many; in a training of several epochs, it may choose processes."""
    loader = Loader(training_set(videos, pixels), BATCH, shuffle=False, workers=workers, epochs=epochs)
    return lambda: sum(len(batch.indices) for batch in loader.batches(0))


def torch_processes(videos: list[Path], pixels: InputSpec) -> Call:
    """An epoch of torch's DataLoader, whose processes persist."""
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(Pixels(training_set(videos, pixels)), BATCH, num_workers=2, persistent_workers=True)
    return lambda: sum(len(batch) for batch in loader)


class Pixels:
    """A dataset as a sequence of arrays, torch's interface."""

    def __init__(self, dataset: TrainingSet) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> np.ndarray:
        clips: np.ndarray = self.dataset.load(int(index), 0).clips
        return clips


def rates(
    name: str, times: dict[str, list[float]], clips: int, ours: str, baseline: str, target: float | None = None
) -> Row:
    """Clips per second of two loaders, whose ratio should be large."""
    speeds = {key: [1000 * clips / value for value in values] for key, values in times.items()}
    pairs = zip(speeds[ours], speeds[baseline], strict=True)
    gain = statistics.median(first / second for first, second in pairs)
    figures = (statistics.median(speeds[key]) for key in (ours, baseline))
    return Row(name, *figures, ratio=gain, target=target, unit="clips/s", at_least=True)


def sources(options: Options) -> Iterator[Row]:
    """One worker on the same clips as is, re-encoded with many key frames, as JPEG pictures, and in a tar shard."""
    count = 2 if options.quick else 8
    kinds = {"videos": own(options, count) or generated(options, count=count)}
    for kind, written in (("re-encoded videos", "videos"), ("JPEG pictures", "frames")):
        kinds[kind] = [converted(options, path, written) for path in kinds["videos"]]
    kinds["videos in a tar shard"] = sharded(options, kinds["videos"])
    calls = {name: epoch(paths * BATCH, WORK["decoding"], 1) for name, paths in kinds.items()}
    times = measure(calls, options.rounds)
    for name in list(kinds)[1:]:
        yield rates(f"one core: {name}, against the original videos", times, len(kinds[name]) * BATCH, name, "videos")


def sharded(options: Options, videos: list[Path]) -> list[Path]:
    """The videos as members of a shard."""
    write_list(options.folder / "videos.txt", [VideoRecord(path, (0,), None, 0) for path in videos])
    prepare_shards([options.folder / "videos.txt"], options.folder / "shards", force=True)
    return [record.path for record in read_list(options.folder / "shards/videos.txt")]


def flat(options: Options) -> Row:
    """Growth of resident memory over many samples, after the first tenth of them; with the loader's processes."""
    samples = 40 if options.quick else 20_000
    video = generated(Options(options.folder, quick=True))[0]
    loader = Loader(training_set([video] * samples, CORNER), BATCH, shuffle=True, workers=2)
    batches, early = loader.batches(0), samples // BATCH // 10
    for _ in islice(batches, early):
        pass
    gc.collect()
    before = family_megabytes()
    for _ in batches:
        pass
    gc.collect()
    growth = max(0.0, family_megabytes() - before)
    return Row(f"memory growth over {samples:,} samples", growth, target=GROWTH, unit="MB")


def long_list(options: Options, what: str, starting: Callable[[Path], Call]) -> Iterator[Row]:
    """Time until something starts on a long list, and its memory per entry."""
    entries = 1_000 if options.quick else 1_000_000
    with opened({"list": partial(starting, list_file(options, entries))}, apart=not options.quick) as (calls, _):
        seconds, size = calls["list"]()
    yield Row(f"start of {what} of {entries:,} clips", seconds, target=SECONDS, unit="s")
    yield Row(f"memory per entry of a list of {entries:,} clips", size, target=BYTES, unit="bytes")


def starting(path: Path) -> Call:
    """Seconds and bytes per entry until the first epoch of a list is planned: opening it and drawing the order."""

    def call() -> tuple[float, float]:
        before, start = megabytes(), time.perf_counter()
        dataset = TrainingSet(
            read_list(path), ["class"] * 400, ClipReader(InputSpec(), ModelSpec(num_classes=400)), DataSpec()
        )
        loader = Loader(dataset, BATCH, shuffle=True)
        seconds = time.perf_counter() - start
        return seconds, 2**20 * (megabytes() - before) / len(loader) / BATCH

    return call
