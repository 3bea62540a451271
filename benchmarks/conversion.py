"""Time to convert a ResNet-50 TSM file, relative to copying its bytes.

    python -m benchmarks.conversion [--repeat 5]

For each source format, prints the seconds to copy the file (read, write, sync) and to convert it to each native format:
best of several, in one process that loads no framework. The goal is a factor of two at most.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trishift.checkpoints import Checkpoint, convert
from trishift.checkpoints.writing import write_dialect
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.model.tensors import tensor_table

SPEC = ModelSpec("resnet50", 400, shift=ShiftSpec())
SOURCES = {"tsm": "tsm_segment8.pth", "mmaction2": "mmaction2_1x1x8.pth", "mindspore_tsm": "tsm_segment8.ckpt"}
NATIVE = (".safetensors", ".pth", ".ckpt", ".pdparams")


def best(repeat: int, action: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def copy(source: Path, target: Path) -> None:
    """Read, write and sync."""
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.write(reader.read())
        writer.flush()
        os.fsync(writer.fileno())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, help="default: 5")
    repeat = parser.parse_args().repeat
    rng = np.random.default_rng(0)
    model = Checkpoint(
        {t.name: rng.standard_normal(t.shape, np.float32) for t in tensor_table(SPEC)}, SPEC, InputSpec()
    )
    with tempfile.TemporaryDirectory() as folder:
        for dialect, name in SOURCES.items():
            source = Path(folder) / name
            write_dialect(source, model, dialect)
            copied = best(repeat, lambda path=source: copy(path, Path(folder) / "copy"))  # type: ignore[misc]
            print(f"{name}: {source.stat().st_size / 1e6:.0f} MB, copied in {copied:.3f} s")
            for suffix in NATIVE:
                result = Path(folder) / f"result{suffix}"
                taken = best(repeat, lambda: convert(source, result, force=True))  # noqa: B023
                print(f"  to {suffix:12s} {taken:.3f} s, {taken / copied:.2f} times the copy")


if __name__ == "__main__":
    main()
