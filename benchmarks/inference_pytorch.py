"""Prediction with PyTorch on the CPU: gains from memory format, bfloat16 and compilation.

    python -m benchmarks.inference_pytorch [--backbone resnet50] [--batch 1] [--rounds 10] [--threads 2] [--compile]

Prints a Markdown table. Ratios are relative to eager NCHW float32 in the same round. Compilation takes a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from benchmarks.interleaved import measure, table

from trishift.backends.contract import Execution
from trishift.backends.pytorch.session import Session
from trishift.model.spec import ModelSpec, ShiftSpec

EAGER = {
    "eager": Execution(),
    "channels_last": Execution(channels_last=True),
    "channels_last bf16": Execution(channels_last=True, precision="bf16"),
}
COMPILED = {
    "compiled": Execution(compile=True),
    "compiled channels_last": Execution(compile=True, channels_last=True),
    "compiled channels_last bf16": Execution(compile=True, channels_last=True, precision="bf16"),
}


def prediction(spec: ModelSpec, execution: Execution, clips: np.ndarray) -> Callable[[], object]:
    """A prediction by a session of its own."""
    session = Session(spec, execution)
    return lambda: session.predict(clips)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50", choices=["resnet18", "resnet50", "mobilenet_v2"])
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="side of the frames in pixels")
    parser.add_argument("--batch", type=int, default=1, help="clips")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="also measure compiled networks")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    spec = ModelSpec(arguments.backbone, 400, arguments.segments, shift=ShiftSpec())
    shape = (arguments.batch, arguments.segments, 3, arguments.size, arguments.size)
    clips = np.random.default_rng(0).standard_normal(shape, np.float32)
    executions = {**EAGER, **(COMPILED if arguments.compile else {})}
    alternatives = {name: prediction(spec, execution, clips) for name, execution in executions.items()}
    title = f"TSM {arguments.backbone}, {arguments.batch} x {arguments.segments} frames"
    print(table(measure(alternatives, arguments.rounds), "eager", title))


if __name__ == "__main__":
    main()
