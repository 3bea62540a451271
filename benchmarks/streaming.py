"""Latency and memory of a stream after 100, 1,000 and 10,000 frames: neither may grow.

    python -m benchmarks.streaming [--framework pytorch] [--backbone resnet10] [--width 16] [--size 64] [--frames 10000]

Prints a Markdown table: median and 95th percentile of the milliseconds per frame over the last 100 frames, and the
resident memory of the process. MindSpore compiles after its first few frames, which are not in the first row's window.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from trishift.backends import FRAMEWORKS, open_session
from trishift.backends.contract import Execution
from trishift.model.spec import ModelSpec, ShiftSpec, default_input
from trishift.streaming.stream import Stream

WINDOW = 100
MARKS = (100, 1_000, 10_000, 100_000)


def resident_megabytes() -> float:
    """Resident memory of this process (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Stream noise and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", choices=FRAMEWORKS, default="pytorch")
    parser.add_argument("--backbone", default="resnet10")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    placement = "block" if options.backbone == "bn_inception" else "blockres"
    width = options.width if options.backbone.startswith("resnet") else 64
    shift = ShiftSpec(direction="unidirectional", placement=placement)
    spec = ModelSpec(options.backbone, 27, shift=shift, width=width)
    session = open_session(options.framework, spec, Execution(compile=options.compile or None))
    stream = Stream(session, default_input(options.backbone))
    frame = np.random.default_rng(0).standard_normal((1, 3, options.size, options.size), np.float32)

    print(f"{options.framework}, {options.backbone}, {options.size} x {options.size}\n")
    print("| frames | median ms | 95 % ms | memory MB |\n| ---: | ---: | ---: | ---: |")
    times: list[float] = []
    for number in range(1, options.frames + 1):
        start = time.perf_counter()
        stream.step(frame)
        times = [*times[1 - WINDOW :], 1e3 * (time.perf_counter() - start)]
        if number in MARKS:
            median, high = np.percentile(times, (50, 95))
            print(f"| {number:,} | {median:.2f} | {high:.2f} | {resident_megabytes():.1f} |", flush=True)


if __name__ == "__main__":
    main()
