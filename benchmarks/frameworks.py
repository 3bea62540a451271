"""TSM ResNet-50, 8 frames of 224 x 224: forward pass and train step in each framework, relative to its eager mode.

    python -m benchmarks.frameworks [--rounds 5] [--frameworks pytorch paddle]

Each framework runs in its own process, and its variants take turns within every round. Figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from trishift.backends import FRAMEWORKS, open_session
from trishift.backends.contract import Execution, MicroBatch
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.recipe import TrainSpec
from trishift.training.parameter_groups import optimization_plan

SPEC = ModelSpec("resnet50", 400, num_segments=8, shift=ShiftSpec(), dropout=0.0)
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "pytorch": {"eager": {}, "channels_last": {"channels_last": True}},
    "mindspore": {"eager": {}, "compiled": {"compile": True}},
    "paddle": {"eager": {}, "compiled": {"compile": True}},
}
BATCHES = (1, 4)


def measure(framework: str, rounds: int) -> dict[str, float]:
    """Median seconds by `variant/task/batch`."""
    times: dict[str, list[float]] = {}
    for task in ("forward", "train step"):
        sessions = {
            name: open_session(framework, SPEC, Execution(**options)) for name, options in VARIANTS[framework].items()
        }
        for session in sessions.values():
            session.prepare_training(optimization_plan(session.parameters(), TrainSpec(partial_bn=True), "rgb"))
        for batch in BATCHES:
            clips = np.random.default_rng(0).standard_normal((batch, 8, 3, 224, 224)).astype(np.float32)
            for number in range(rounds + 1):  # the first round warms up (and compiles)
                for name, session in sessions.items():
                    began = time.perf_counter()
                    if task == "forward":
                        session.predict(clips)
                    else:
                        session.train_step([MicroBatch(clips, np.zeros(batch, np.int64))], 1e-4)
                    if number:
                        times.setdefault(f"{name}/{task}/{batch}", []).append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure every framework in its own process and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frameworks", nargs="+", default=list(FRAMEWORKS), choices=FRAMEWORKS)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print("RESULT " + json.dumps(measure(options.inside, options.rounds)))
        return
    columns = [f"{task}, {batch} clip{'s' * (batch > 1)}" for task in ("forward", "train step") for batch in BATCHES]
    print("| framework | mode | " + " | ".join(columns) + " |\n|---|---|" + "---:|" * len(columns))
    for framework in options.frameworks:
        command = [
            sys.executable,
            "-m",
            "benchmarks.frameworks",
            "--inside",
            framework,
            "--rounds",
            str(options.rounds),
        ]
        output = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=True).stdout
        found = json.loads(next(line for line in output.splitlines() if line.startswith("RESULT "))[7:])
        for name in VARIANTS[framework]:
            cells = []
            for task in ("forward", "train step"):
                for batch in BATCHES:
                    seconds, eager = found[f"{name}/{task}/{batch}"], found[f"eager/{task}/{batch}"]
                    cells.append(f"{1000 * seconds:.0f} ms" + (f" ({seconds / eager:.2f})" if name != "eager" else ""))
            print(f"| {framework} | {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
