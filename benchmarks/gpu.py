"""PyTorch on one NVIDIA GPU: forward pass and train step of TSM against TSN, by precision, memory format, compilation.

    python -m benchmarks.gpu [--batch 16] [--segments 8] [--rounds 15] [--backbone resnet50]

The two networks of a row take turns within every round. Times are medians, and the ratio is the median of the rounds'
ratios. A train step includes copying its clips to the GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from trishift.backends import open_session
from trishift.backends.contract import Execution, MicroBatch
from trishift.backends.session import Session
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.recipe import TrainSpec
from trishift.training.parameter_groups import optimization_plan

EXECUTIONS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp32, channels_last": {"channels_last": True},
    "bf16": {"precision": "bf16"},
    "bf16, channels_last": {"precision": "bf16", "channels_last": True},
    "bf16, channels_last, compiled": {"precision": "bf16", "channels_last": True, "compile": True},
    "fp16, channels_last": {"precision": "fp16", "channels_last": True},
}
WARM_UP = 4


def seconds(call: Callable[[], object]) -> float:
    """Seconds that a call keeps the GPU busy."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def cell(calls: dict[str, Callable[[], object]], rounds: int) -> str:
    """`TSN ms | TSM ms | ratio`."""
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    ratio = statistics.median(tsm / tsn for tsm, tsn in zip(times["TSM"], times["TSN"], strict=True))
    tsn, tsm = (1000 * statistics.median(times[name]) for name in ("TSN", "TSM"))
    return f"{tsn:.1f} | {tsm:.1f} | {ratio:.2f}"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--batch", type=int, default=16, help="clips")
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    shape = (options.batch, options.segments, 3, 224, 224)
    clips = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    batch = [MicroBatch(clips, np.zeros(options.batch, np.int64))]
    print(
        f"{torch.cuda.get_device_name()}, {options.backbone}, {options.batch} clips of {options.segments} frames, ms\n"
    )
    print("| execution | TSN forward | TSM | ratio | TSN step | TSM | ratio | peak GB |\n|---|" + "---:|" * 7)
    for name, execution in EXECUTIONS.items():
        torch.cuda.reset_peak_memory_stats()
        sessions: dict[str, Session] = {}
        for model, shift in (("TSN", None), ("TSM", ShiftSpec())):
            spec = ModelSpec(options.backbone, 400, options.segments, shift=shift)
            session = open_session("pytorch", spec, Execution(device="gpu", **execution))
            session.prepare_training(optimization_plan(session.parameters(), TrainSpec(partial_bn=True), "rgb"))
            sessions[model] = session
        forward = cell({name: lambda s=s: s.predict(clips) for name, s in sessions.items()}, options.rounds)
        step = cell({name: lambda s=s: s.train_step(batch, 1e-4) for name, s in sessions.items()}, options.rounds)
        peak = torch.cuda.max_memory_allocated() / 2**30
        print(f"| {name} | {forward} | {step} | {peak:.1f} |", flush=True)


if __name__ == "__main__":
    main()
