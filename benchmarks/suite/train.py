"""A training step of two clips in each framework, against the code of 2018.

The baseline trains as published: SGD, clipped gradients, and only the first batch norm in training mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.interleaved import Call, compared, measure, opened
from benchmarks.options import Options, noise, settled_after
from benchmarks.rows import Row
from testing.weights import smooth_weights

from trishift.model.spec import ModelSpec

BATCH = 2
LR = 1e-6  # so small that the loss stays where it is: gradients near zero become subnormal numbers, which are slow
FORMS: dict[str, tuple[str, dict[str, Any], float | None]] = {  # ours to what it is called, settings and target
    "default": ("PyTorch, default", {"execution": None}, 0.62),
    "bf16": ("PyTorch, bf16", {"execution": {"channels_last": True, "precision": "bf16"}}, 0.30),
    "NCHW": ("PyTorch, NCHW", {"execution": {"channels_last": False}}, None),
}


def rows(options: Options) -> Iterator[Row]:
    """PyTorch's forms against the code of 2018, and the other frameworks against PyTorch's default.

    Only two alternatives are open at a time, because each keeps gigabytes.
    """
    mine = partial(step, options.spec, options.size)
    baseline = partial(published, options.checkpoint(), options.spec, options.size)
    for title, form, target in FORMS.values():
        yield pair(f"{title}, against the code of 2018", partial(mine, **form), baseline, target, options)
    for name in options.frameworks:
        if name != "pytorch":
            target = 2.0 if name == "paddle" else None
            title, warm_up = f"{name}, against PyTorch's default", settled_after(name)
            yield pair(title, partial(mine, name), mine, target, options, warm_up)


def pair(
    name: str,
    ours: Callable[[], Call],
    baseline: Callable[[], Call],
    target: float | None,
    options: Options,
    warm_up: int = 1,
) -> Row:
    """The row of two training steps."""
    with opened({"ours": ours, "baseline": baseline}, apart=not options.quick) as (calls, failures):
        times = measure(calls, options.rounds, warm_up)
    return compared(name, times, "ours", "baseline", target, note="; ".join(failures.values()))


def step(
    spec: ModelSpec, size: int, framework: str = "pytorch", execution: dict[str, Any] | None = None, batch: int = BATCH
) -> Call:
    """A training step by a session of a framework, with the default of its training unless settings are given."""
    from trishift.backends import open_session
    from trishift.backends.contract import Execution, MicroBatch
    from trishift.recipe import TrainSpec
    from trishift.training.parameter_groups import optimization_plan

    session = open_session(framework, spec, Execution(**(execution or {})), weights=smooth_weights(spec))
    session.prepare_training(optimization_plan(session.parameters(), TrainSpec(partial_bn=True, clip_norm=20), "rgb"))
    part = MicroBatch(noise(batch, spec, size), np.arange(batch) % spec.num_classes)
    return partial(session.train_step, [part], LR)


def published(path: Path, spec: ModelSpec, size: int, batch: int = BATCH) -> Call:
    """A training step of the code of 2018."""
    from benchmarks.baselines.network import train_step

    from trishift.checkpoints import import_weights

    weights = import_weights(path)[0].tensors
    return train_step(spec, weights, noise(batch, spec, size), np.arange(batch) % spec.num_classes, LR)
