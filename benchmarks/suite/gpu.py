"""PyTorch on one NVIDIA GPU: prediction and training, the shift, the loader, and the code of 2018.

Clips are on the host, uint8; the GPU normalizes them, and the next batch is copied meanwhile, as in `trishift eval` and
`trishift train`. Without a GPU, `--quick` runs the same code on the CPU, and otherwise there is one row that says so.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from benchmarks.interleaved import Call, compared, measure
from benchmarks.media import generated
from benchmarks.options import Options, noise
from benchmarks.rows import Row
from benchmarks.suite.loader import training_set
from benchmarks.suite.train import LR
from testing import weights

from trishift.backends import find_device, open_session
from trishift.backends.contract import Execution, MicroBatch
from trishift.backends.fast_forms import FormName
from trishift.data.loader import Loader
from trishift.errors import FrameworkError
from trishift.model.pixels import Normalization, normalization
from trishift.model.spec import InputSpec, ModelSpec, default_input
from trishift.recipe import TrainSpec
from trishift.training.parameter_groups import optimization_plan

SHIFT_TARGET, SPEEDUP_TARGET, LOADER_TARGET = 1.02, 5.0, 0.95
BATCH, AT_ONCE, WARM_UP = 16, 4, 3  # clips; batches per call, so that the host runs ahead of the GPU; calls
PREDICTIONS: dict[str, dict[str, Any]] = {
    "fp32, as is": {"channels_last": False},
    "fp32": {"form": "fused"},
    "tf32": {"precision": "tf32", "form": "fused"},
    "bf16, as is": {"precision": "bf16", "channels_last": True},
    "bf16": {"precision": "bf16", "form": "fused"},
    "bf16, compiled": {"precision": "bf16", "form": "compiled"},
}
STEPS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "tf32, NHWC": {"precision": "tf32", "channels_last": True},
    "bf16, NHWC": {"precision": "bf16", "channels_last": True},
    "bf16, NHWC, compiled": {"precision": "bf16", "channels_last": True, "compile": True},
}
QUICK = ("fp32",)
Maker = Callable[[ModelSpec, int, dict[str, Any]], Call]


@cache
def weights_of(spec: ModelSpec) -> Any:
    """Weights of a network."""
    return weights.smooth_weights(spec)


def rows(options: Options) -> Iterator[Row]:
    """Per execution: TSM against TSN; then the fastest against the code of 2018."""
    device = find_device("pytorch")
    if device != "gpu" and not options.quick:
        yield Row("one GPU", note="there is none here")
        return
    batch = 2 if options.quick else BATCH
    tasks: dict[str, tuple[Maker, dict[str, Any]]] = {
        "prediction": (predicting, PREDICTIONS),
        "training step": (stepping, STEPS),
    }
    for task, (make, executions) in tasks.items():
        fastest: tuple[float, str, dict[str, Any]] | None = None
        for name in QUICK if options.quick else executions:
            settings = {**executions[name], "device": device}
            title = f"{task} of {batch} clips, {name}: TSM against TSN"
            try:
                times = shift_times(make, options, batch, settings)
            except (FrameworkError, RuntimeError) as error:
                yield Row(title, note=str(error).splitlines()[0])
                continue
            yield compared(title, times, "TSM", "TSN", SHIFT_TARGET)
            median = statistics.median(times["TSM"])
            fastest = min(fastest or (median, name, settings), (median, name, settings), key=lambda entry: entry[0])
        if fastest is not None:
            _, name, settings = fastest
            yield speedup(f"{task} of {batch} clips, {name}", make, options, batch, settings)
    latency = {"precision": "fp32" if options.quick else "bf16", "form": "fused", "device": device}
    yield speedup(f"prediction of one clip, {latency['precision']}", predicting, options, 1, latency)
    if not options.quick:
        yield fed(options, {**STEPS["bf16, NHWC"], "device": device})


def shift_times(make: Maker, options: Options, batch: int, settings: dict[str, Any]) -> dict[str, list[float]]:
    """Milliseconds per batch of TSM and TSN."""
    specs = {"TSN": replace(options.spec, shift=None), "TSM": options.spec}
    times = measure(
        {model: make(spec, batch, {**settings, "size": options.size}) for model, spec in specs.items()},
        options.rounds,
        WARM_UP,
    )
    return {model: [value / AT_ONCE for value in values] for model, values in times.items()}


def speedup(title: str, make: Maker, options: Options, batch: int, settings: dict[str, Any]) -> Row:
    """Clips per second against the code of 2018, in float32."""
    calls = {
        "published": published(options, batch, settings["device"], make),
        "ours": make(options.spec, batch, {**settings, "size": options.size}),
    }
    times = measure(calls, options.rounds, WARM_UP)
    speeds = {key: [1000 * batch * AT_ONCE / value for value in values] for key, values in times.items()}
    row = compared(f"{title}: against the code of 2018", speeds, "ours", "published", SPEEDUP_TARGET)
    return replace(row, unit="clips/s", at_least=True)


def predicting(spec: ModelSpec, batch: int, settings: dict[str, Any]) -> Call:
    """Predictions, whose results are copied to the host."""
    execution = {name: value for name, value in settings.items() if name not in ("form", "size")}
    form: FormName = settings.get("form", "native")
    session = open_session("pytorch", spec, Execution(**execution), weights=weights_of(spec), form=form, strict=True)
    session.accept_pixels(rule_of(spec))
    clips = pixels(batch, spec, settings["size"])

    def call() -> None:
        for number in range(AT_ONCE):
            session.prefetch(clips[(number + 1) % 2])
            session.predict(clips[number % 2])

    session.predict(clips[0])
    return call


def stepping(spec: ModelSpec, batch: int, settings: dict[str, Any]) -> Call:
    """Training steps, until the loss of the last one is known."""
    session = trained(spec, settings)
    clips = pixels(batch, spec, settings["size"])
    parts = [MicroBatch(each, np.zeros(batch, np.int64), normalization=rule_of(spec)) for each in clips]

    def call() -> float:
        for number in range(AT_ONCE):
            session.prefetch(clips[(number + 1) % 2])
            loss = session.train_step([parts[number % 2]], LR).loss
        return float(loss)

    call()
    return call


def pixels(batch: int, spec: ModelSpec, size: int) -> list[np.ndarray]:
    """Two batches (N, T, C, H, W) of uint8 noise."""
    shape = (2, batch, spec.num_segments, spec.in_channels, size, size)
    return list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def rule_of(spec: ModelSpec) -> Normalization:
    """The usual normalization of a network's clips."""
    return normalization(default_input(spec.backbone), spec.in_channels)


def trained(spec: ModelSpec, settings: dict[str, Any]) -> Any:
    """A session that trains as published."""
    execution = Execution(**{name: value for name, value in settings.items() if name != "size"})
    session = open_session("pytorch", spec, execution, weights=weights_of(spec))
    session.prepare_training(optimization_plan(session.parameters(), TrainSpec(partial_bn=True, clip_norm=20), "rgb"))
    return session


def published(options: Options, batch: int, device: str, make: Maker) -> Call:
    """As many predictions or training steps by the code of 2018, from pinned memory."""
    from benchmarks.baselines import network

    place = "cuda" if device == "gpu" else "cpu"
    spec, tensors = options.spec, weights_of(options.spec)
    clips = noise(batch, spec, options.size)
    if make is predicting:
        call: Call = network.prediction(spec, tensors, clips, place)
    else:
        call = network.train_step(spec, tensors, clips, np.zeros(batch, np.int64), LR, place)
    return lambda: [call() for _ in range(AT_ONCE)]


def fed(options: Options, settings: dict[str, Any]) -> Row:
    """Training from video files, against the slower of the loader alone and the steps alone."""
    cores, batches = os.cpu_count() or 1, 12
    videos = generated(options, count=8) * (BATCH * batches // 8)
    dataset = training_set(videos, InputSpec())
    loader = Loader(dataset, BATCH, shuffle=False, workers=cores)
    session = trained(options.spec, settings)

    def epoch(number: int, *, steps: bool) -> float:
        start, loss, ahead = time.perf_counter(), 0.0, None
        for batch in itertools.chain(loader.batches(number), [None]):
            if batch is not None:
                session.prefetch(batch.clips[:, 0])
            if ahead is not None and steps:
                part = MicroBatch(ahead.clips[:, 0], ahead.targets, normalization=dataset.normalization)
                loss = session.train_step([part], LR).loss
            ahead = batch
        float(loss)
        return BATCH * batches / (time.perf_counter() - start)

    epoch(0, steps=True)
    both = [epoch(number, steps=True) for number in range(1, 4)]
    loading = [epoch(number, steps=False) for number in range(1, 4)]
    step = stepping(options.spec, BATCH, {**settings, "size": options.size})
    computing = [1000 * BATCH * AT_ONCE / value for value in measure({"steps": step}, 3, 1)["steps"]]
    bound = min(statistics.median(loading), statistics.median(computing))
    note = f"{cores} cores: loader {statistics.median(loading):.0f}, steps {statistics.median(computing):.0f} clips/s"
    ours = statistics.median(both)
    title = "training from videos, bf16: against the slower of its parts"
    return Row(title, ours, bound, ours / bound, LOADER_TARGET, "clips/s", at_least=True, note=note)
