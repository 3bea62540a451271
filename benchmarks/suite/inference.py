"""Prediction of one clip in every form, against the code of 2018 and against the arithmetic floor.

The floor is the time of the same number of multiply-adds in large matrix products, measured in the same rounds.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.interleaved import CLOCK, Call, Times, compared, measure, opened
from benchmarks.options import Options, noise, settled_after
from benchmarks.rows import Row

from trishift.backends.fast_forms import OF_NETWORKS
from trishift.model.cost import multiplications
from trishift.model.spec import ModelSpec

PUBLISHED, PRODUCT = "published", "product"
SIDE = 2048  # of the matrices whose product measures the arithmetic rate
FORMS: dict[str, tuple[str, dict[str, Any], float | None]] = {  # ours to what it is called, settings and target
    "default": ("as `trishift.load` gives it", {}, 0.64),
    "native": ("PyTorch, not fused", {"runtime": "native"}, None),
    "NCHW": ("PyTorch, not fused, NCHW", {"runtime": "native", "execution": {"channels_last": False}}, None),
    "bf16": ("PyTorch, bf16", {"execution": {"channels_last": True, "precision": "bf16"}}, 0.36),
    "compiled": ("PyTorch, compiled", {"runtime": "compiled"}, None),
    "onnxruntime": ("ONNX Runtime", {"runtime": "onnxruntime"}, None),
    "openvino": ("OpenVINO", {"runtime": "openvino"}, None),
    "openvino bf16": ("OpenVINO, bf16", {"runtime": "openvino", "execution": {"precision": "bf16"}}, 0.36),
}
QUICK = ("default", "NCHW")
FRAMEWORKS: dict[str, tuple[str, dict[str, Any], dict[str, Any], float]] = {  # ours, baseline, target
    "paddle": ("Paddle, default against eager", {}, {"runtime": "native", "execution": {"compile": False}}, 0.30),
    "mindspore": (
        "MindSpore, default against its plain graph",
        {},
        {"runtime": "native", "execution": {"compile": True}},
        0.90,
    ),
}


@dataclass(frozen=True)
class Prediction:
    """Logits (N, K), and the form that computed them, in words."""

    logits: np.ndarray
    form: str


def rows(options: Options) -> Iterator[Row]:
    """One row per form of a PyTorch checkpoint, the floor, and one row per other framework."""
    path, clip = options.checkpoint(), noise(1, options.spec, options.size)
    names = QUICK if options.quick else tuple(FORMS)
    if os.environ.get(CLOCK) == "processor":  # other threads of these runtimes spin while they wait
        names = tuple(name for name in names if FORMS[name][1].get("runtime", "native") in OF_NETWORKS)
    makers: dict[str, Callable[[], Call]] = {
        PUBLISHED: partial(published, path, options.spec, clip),
        **{name: partial(prediction, path, clip, **FORMS[name][1]) for name in names},
        **{f"{PRODUCT} {dtype}": partial(product, dtype, options) for dtype in ("float32", "bfloat16")},
    }
    with opened(makers, apart=not options.quick) as (calls, failures):
        times = measure(calls, options.rounds, warm_up=3)
        expected = calls[PUBLISHED]()
        for name in names:
            title, _, target = FORMS[name]
            note = failures.get(name) or remark(calls[name](), expected)
            yield compared(f"{title}, against the code of 2018", times, name, PUBLISHED, target, note=note)
    yield from floors(times, names, options)
    for framework, (title, ours, baseline, target) in options.of(FRAMEWORKS).items():
        settings = {"ours": ours, "baseline": baseline}
        pair = {name: partial(prediction, path, clip, framework, **value) for name, value in settings.items()}
        with opened(pair) as (calls, failures):
            times = measure(calls, options.rounds, max(3, settled_after(framework)))
            notes = [*failures.values()] or [f"{name}: {call().form}" for name, call in calls.items()]
            yield compared(title, times, "ours", "baseline", target, note="; ".join(notes))


def floors(times: Times, names: tuple[str, ...], options: Options) -> Iterator[Row]:
    """The fastest form of each precision against the arithmetic floor."""
    amount = multiplications(options.spec, options.size)
    for dtype, suffix in (("float32", ""), ("bfloat16", "bf16")):
        forms = [name for name in names if name in times and name.endswith("bf16") == bool(suffix)]
        if not forms:
            continue
        best = min(forms, key=lambda name: statistics.median(times[name]))
        scaled = {
            "floor": [value * amount / side(options) ** 3 for value in times[f"{PRODUCT} {dtype}"]],
            best: times[best],
        }
        name = f"{FORMS[best][0]}, the fastest in {dtype}, against its arithmetic floor"
        yield compared(name, scaled, best, "floor", None if suffix else 1.4)


def side(options: Options) -> int:
    """Side of the matrices."""
    return 64 if options.quick else SIDE


def prediction(
    path: Path, clip: np.ndarray, framework: str = "pytorch", *, execution: dict[str, Any] | None = None, **choices: Any
) -> Call:
    """Prediction of a clip as `trishift.load` gives it with some settings."""
    import trishift
    from trishift.backends.contract import Execution

    settings = None if execution is None else Execution(**execution)
    model = trishift.load(path, framework, execution=settings, strict=True, **choices)
    return lambda: Prediction(model(clip), model.session.last_form)


def published(path: Path, spec: ModelSpec, clip: np.ndarray) -> Call:
    """Prediction by the code of 2018."""
    from benchmarks.baselines.network import prediction as baseline

    from trishift.checkpoints import import_weights

    return baseline(spec, import_weights(path)[0].tensors, clip)


def product(dtype: str, options: Options) -> Call:
    """The product of two square matrices."""
    import torch

    left, right = (torch.randn(side(options), side(options), dtype=getattr(torch, dtype)) for _ in range(2))
    return lambda: torch.mm(left, right).sum().item()


def remark(found: Prediction, expected: np.ndarray) -> str:
    """The form that ran and its largest relative difference, as a note."""
    return f"{found.form}; differs by {np.abs(found.logits - expected).max() / np.abs(expected).max():.0e}"
