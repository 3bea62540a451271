"""Cost of the temporal shift: TSM against TSN, in prediction and in training steps.

Targets: at most 1.04 in the default form of each framework and in the exported programs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.interleaved import CLOCK, Call, compared, measure, opened
from benchmarks.options import Options, noise, settled_after
from benchmarks.rows import Row
from benchmarks.suite.inference import prediction
from benchmarks.suite.train import step

from trishift.model.spec import ModelSpec

TARGET = 1.04
FORMS: dict[str, dict[str, Any]] = {
    "PyTorch": {"framework": "pytorch"},
    "PyTorch, not fused": {"framework": "pytorch", "runtime": "native"},
    "PyTorch, bf16": {"framework": "pytorch", "execution": {"channels_last": True, "precision": "bf16"}},
    "Paddle": {"framework": "paddle"},
    "MindSpore": {"framework": "mindspore"},
}
PROGRAMS = {"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}


def rows(options: Options) -> Iterator[Row]:
    """TSM / TSN by form; every pair of networks is measured in one process."""
    forms = {name: form for name, form in FORMS.items() if form["framework"] in options.frameworks}
    makers: dict[str, Callable[[], Call]] = {
        f"{name}, prediction": partial(forward, options, form) for name, form in forms.items()
    }
    if not options.quick and os.environ.get(CLOCK) != "processor":
        programs = {name: {"runtime": runtime} for name, runtime in PROGRAMS.items()}
        makers |= {f"{name}, prediction": partial(forward, options, form) for name, form in programs.items()}
    if not options.quick:
        mobile = replace(options.spec, backbone="mobilenet_v2")
        makers["MobileNetV2 in PyTorch, prediction"] = partial(forward, options, {}, mobile)
    for framework in options.frameworks:
        makers[f"{framework}, training step of two clips"] = partial(training, options, framework)
    for name, make in makers.items():
        with opened({name: make}, apart=not options.quick) as (calls, failures):
            times = calls[name]() if calls else {}
            yield compared(f"{name}: TSM against TSN", times, "TSM", "TSN", TARGET, note=failures.get(name, ""))


def forward(options: Options, form: dict[str, Any], spec: ModelSpec | None = None) -> Call:
    """Times of both networks' predictions."""
    clip = noise(1, options.spec, options.size)
    calls = {name: prediction(options.checkpoint(spec), clip, **form) for name, spec in pair(spec or options.spec)}
    return partial(measure, calls, options.rounds, max(3, settled_after(form.get("framework", "pytorch"))))


def training(options: Options, framework: str) -> Call:
    """Times of both networks' training steps."""
    calls = {name: step(spec, options.size, framework) for name, spec in pair(options.spec)}
    return partial(measure, calls, options.rounds, max(3, settled_after(framework)))


def pair(spec: ModelSpec) -> list[tuple[str, ModelSpec]]:
    """The network without and with its shift."""
    return [("TSN", replace(spec, shift=None)), ("TSM", spec)]
