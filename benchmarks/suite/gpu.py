"""PyTorch on one NVIDIA GPU: prediction and training, the shift, and the code of 2018.

Without a GPU, `--quick` runs the same code on the CPU, and otherwise there is one row that says so.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from benchmarks.interleaved import Call, compared, measure
from benchmarks.options import Options, noise
from benchmarks.rows import Row
from benchmarks.suite.train import LR
from testing.weights import smooth_weights

from trishift.backends import find_device, open_session
from trishift.backends.contract import Execution, MicroBatch
from trishift.backends.fast_forms import FormName
from trishift.model.spec import ModelSpec
from trishift.recipe import TrainSpec
from trishift.training.parameter_groups import optimization_plan

SHIFT_TARGET, SPEEDUP_TARGET = 1.02, 5.0
BATCH, WARM_UP = 16, 4
EXECUTIONS: dict[str, dict[str, Any]] = {  # settings of sessions; `form` is for predictions only
    "fp32, fused": {"form": "fused"},
    "tf32, fused": {"precision": "tf32", "form": "fused"},
    "bf16, fused": {"precision": "bf16", "form": "fused"},
    "fp32": {"channels_last": False},
    "fp32, channels_last": {"channels_last": True},
    "bf16": {"precision": "bf16", "channels_last": False},
    "bf16, channels_last": {"precision": "bf16", "channels_last": True},
    "bf16, channels_last, compiled": {"precision": "bf16", "channels_last": True, "compile": True},
}
QUICK = ("fp32, fused", "fp32")


def rows(options: Options) -> Iterator[Row]:
    """Per execution: TSM against TSN; then the fastest against the code of 2018."""
    device = find_device("pytorch")
    if device != "gpu" and not options.quick:
        yield Row("one GPU", note="there is none here")
        return
    spec, batch = options.spec, 2 if options.quick else BATCH
    clips = noise(batch, spec, options.size)
    fastest: dict[str, tuple[float, Call]] = {}
    for name in QUICK if options.quick else EXECUTIONS:
        execution = EXECUTIONS[name]
        tasks = {"prediction": predicting, **({} if "form" in execution else {"training step": stepping})}
        for task, make in tasks.items():
            calls = {
                model: make(network, clips, {**execution, "device": device})
                for model, network in (("TSN", replace(spec, shift=None)), ("TSM", spec))
            }
            times = measure(calls, options.rounds, WARM_UP)
            yield compared(f"{name}, {task} of {batch} clips, TSM against TSN", times, "TSM", "TSN", SHIFT_TARGET)
            median = statistics.median(times["TSM"])
            if task not in fastest or median < fastest[task][0]:
                fastest[task] = median, calls["TSM"]
    for task, (_, ours) in fastest.items():
        times = measure({"published": published(spec, clips, device, task), "ours": ours}, options.rounds, WARM_UP)
        speeds = {key: [1000 * batch / value for value in values] for key, values in times.items()}
        row = compared(f"fastest {task} against the code of 2018", speeds, "ours", "published", SPEEDUP_TARGET)
        yield replace(row, unit="clips/s", at_least=True)


def predicting(spec: ModelSpec, clips: np.ndarray, settings: dict[str, Any]) -> Call:
    """A prediction, whose result is copied to the host."""
    form: FormName = settings.get("form", "native")
    execution = {name: value for name, value in settings.items() if name != "form"}
    return partial(open_session("pytorch", spec, Execution(**execution), form=form, strict=True).predict, clips)


def stepping(spec: ModelSpec, clips: np.ndarray, execution: dict[str, Any]) -> Call:
    """A training step, including the copy of its clips to the device, until its loss is known."""
    session = open_session("pytorch", spec, Execution(**execution), weights=smooth_weights(spec))
    session.prepare_training(optimization_plan(session.parameters(), TrainSpec(partial_bn=True, clip_norm=20), "rgb"))
    part = MicroBatch(clips, np.zeros(len(clips), np.int64))
    return lambda: session.train_step([part], LR).loss


def published(spec: ModelSpec, clips: np.ndarray, device: str, task: str) -> Call:
    """A prediction or a training step by the code of 2018."""
    from benchmarks.baselines import network

    place = "cuda" if device == "gpu" else "cpu"
    if task == "prediction":
        return network.prediction(spec, smooth_weights(spec), clips, place)
    return network.train_step(spec, smooth_weights(spec), clips, np.zeros(len(clips), np.int64), LR, place)
