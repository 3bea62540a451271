"""Converting a weight file, against copying its bytes (read, write, sync)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.interleaved import compared, measure
from benchmarks.options import Options
from benchmarks.rows import Row
from testing.weights import smooth_weights

from trishift.checkpoints import Checkpoint, convert
from trishift.checkpoints.writing import write_dialect
from trishift.model.spec import InputSpec

SOURCES = {"tsm": "tsm_segment8.pth", "mmaction2": "mmaction2_1x1x8.pth", "mindspore_tsm": "tsm_segment8.ckpt"}
SUFFIXES = (".safetensors", ".pth", ".ckpt", ".pdparams")
TARGET = 2.0


def rows(options: Options) -> Iterator[Row]:
    """One row per source and result."""
    folder = options.folder / "convert"
    folder.mkdir(parents=True, exist_ok=True)
    spec = replace(options.spec, backbone="resnet50", width=8 if options.quick else 64)
    model = Checkpoint(smooth_weights(spec), spec, InputSpec())
    for dialect, name in list(SOURCES.items())[: 1 if options.quick else None]:
        source = folder / name
        write_dialect(source, model, dialect)
        calls = {"copy": partial(copy, source, folder / "copy")}
        calls |= {suffix: partial(convert, source, folder / f"result{suffix}", force=True) for suffix in SUFFIXES}
        times = measure(calls, options.rounds)
        for suffix in SUFFIXES:
            title = f"{dialect} {source.suffix} ({source.stat().st_size / 1e6:.0f} MB) to {suffix}, against a copy"
            yield compared(title, times, suffix, "copy", TARGET)


def copy(source: Path, target: Path) -> None:
    """Read, write and sync."""
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.write(reader.read())
        writer.flush()
        os.fsync(writer.fileno())
