"""Clips per second of the loader with 1 and 2 workers, compared with torch's DataLoader and grain.

    python -m benchmarks.loading LIST [--root DIR] [--work decode|train] [--clips 48] [--rounds 5]

`decode` reads 8 frames of every clip and keeps only a corner, to measure decoding alone. `train` runs the whole
pipeline of a 224 x 224 training clip. Every round runs all loaders in turn, and the best round counts, because other
programs can only make a loader slower. Prints a Markdown table. torch and grain are skipped if they are not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.interleaved import measure

from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import DataSpec, TrainingSet
from trishift.data.lists import VideoRecord, read_list
from trishift.data.loader import Loader
from trishift.data.sample import Sample
from trishift.data.sampling import uniform_eval
from trishift.data.sources import open_clip
from trishift.model.spec import InputSpec, ModelSpec

BATCH = 4
FRAMES = 8
CORNER = 32  # pixels
WORKERS = (1, 2)


class DecodingOnly:
    """The interface of `ClipDataset` that a loader needs, without transforms."""

    def __init__(self, records: list[VideoRecord]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def name(self, index: int) -> str:
        """Path of a clip."""
        return str(self.records[index].path)

    def load(self, index: int, epoch: int = 0, use: int = 0) -> Sample:
        """A corner of 8 frames."""
        with open_clip(self.records[index].path) as source:
            frames = source.read(uniform_eval(source.num_frames, FRAMES)[0])
        return Sample(frames[:, :CORNER, :CORNER].copy(), np.int64(0))


class Pixels:
    """A dataset as a sequence of arrays, the interface of torch and grain."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> np.ndarray:
        clips: np.ndarray = self.dataset.load(int(index), 0).clips
        return clips


def threads(dataset: Any, workers: int) -> Callable[[], object]:
    """Trishift's loader."""
    loader = Loader(dataset, BATCH, shuffle=False, workers=workers)
    return lambda: sum(len(batch.indices) for batch in loader.batches(0))


def torch_processes(dataset: Any, workers: int) -> Callable[[], object]:
    """torch's DataLoader with processes that persist across rounds."""
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(Pixels(dataset), BATCH, num_workers=workers, persistent_workers=True)  # type: ignore[arg-type]
    return lambda: sum(len(batch) for batch in loader)


def grain_threads(dataset: Any, workers: int) -> Callable[[], object]:
    """grain with reading threads."""
    import grain

    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * BATCH)
    pipeline = grain.MapDataset.source(Pixels(dataset)).to_iter_dataset(options).batch(BATCH)  # type: ignore[arg-type]
    return lambda: sum(len(batch) for batch in pipeline)


LOADERS = {
    "trishift (threads)": ("trishift", threads),
    "torch DataLoader (processes)": ("torch", torch_processes),
    "grain (threads)": ("grain", grain_threads),
}


def make_dataset(work: str, records: list[VideoRecord]) -> Any:
    """The dataset of a kind of work."""
    if work == "decode":
        return DecodingOnly(records)
    model = ModelSpec(num_classes=1000, num_segments=FRAMES)
    return TrainingSet(records, ["class"] * 1000, ClipReader(InputSpec(), model), DataSpec())


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--work", choices=("decode", "train"), default="decode")
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    records = read_list(options.list, options.root)
    records = records[:: max(1, len(records) // options.clips)][: options.clips // BATCH * BATCH]
    dataset = make_dataset(options.work, records)
    installed = {name: make for name, (module, make) in LOADERS.items() if importlib.util.find_spec(module)}
    times = measure({(n, w): make(dataset, w) for n, make in installed.items() for w in WORKERS}, options.rounds)
    print(f"| {options.work}, clips/s | 1 worker | 2 workers | gain |\n|---|---:|---:|---:|")
    for name in installed:
        one, two = (1000 * len(records) / min(times[name, workers]) for workers in WORKERS)
        print(f"| {name} | {one:.1f} | {two:.1f} | {two / one:.2f} |")


if __name__ == "__main__":
    main()
