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
from benchmarks.options import Options, noise
from benchmarks.rows import Row
from testing.weights import smooth_weights

from trishift.model.spec import ModelSpec

BATCH = 2
LR = 1e-6  # so small that the loss stays where it is: gradients near zero become subnormal numbers, which are slow
PUBLISHED = "published"
FORMS: dict[str, tuple[str, dict[str, Any], float | None]] = {  # ours to what it is called, settings and target
    "default": ("PyTorch, default", {"execution": None}, 0.62),
    "NCHW": ("PyTorch, NCHW", {"execution": {"channels_last": False}}, None),
    "bf16": ("PyTorch, bf16", {"execution": {"channels_last": True, "precision": "bf16"}}, 0.30),
}


def rows(options: Options) -> Iterator[Row]:
    """PyTorch's forms against the code of 2018, and the other frameworks against PyTorch's default."""
    others = [name for name in options.frameworks if name != "pytorch"]
    makers: dict[str, Callable[[], Call]] = {
        PUBLISHED: partial(published, options.checkpoint(), options.spec, options.size),
        **{name: partial(step, options.spec, options.size, **form) for name, (_, form, _) in FORMS.items()},
        **{name: partial(step, options.spec, options.size, name) for name in others},
    }
    with opened(makers, apart=not options.quick) as (calls, failures):
        times = measure(calls, options.rounds, warm_up=2)
    for name, (title, _, target) in FORMS.items():
        note = failures.get(name, "")
        yield compared(f"{title}, against the code of 2018", times, name, PUBLISHED, target, note=note)
    for name in others:
        target = 2.0 if name == "paddle" else None
        yield compared(
            f"{name}, against PyTorch's default", times, name, "default", target, note=failures.get(name, "")
        )


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
