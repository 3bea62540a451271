"""Small sessions of the framework named by TRISHIFT_FRAMEWORK, on the same noise in every framework."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from trishift.backends import open_session
from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, ParameterPlan
from trishift.backends.session import Session
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.model.tensors import Tensors

SPEC = ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(div=4))
RNG = np.random.default_rng(5)
CLIPS = RNG.standard_normal((4, 4, 3, 32, 32)).astype(np.float32)
TARGETS = np.arange(4)
DROPOUT = (2 * RNG.integers(0, 2, (4, 4, SPEC.feature_width))).astype(np.float32)
PLANS = {"conv": ParameterPlan(1, 1), "linear": ParameterPlan(5, 0.5), "norm": ParameterPlan(1, 0)}


def make_session(spec: ModelSpec = SPEC, seed: int = 0, compile: bool | None = False, **execution: object) -> Session:
    return open_session(os.environ["TRISHIFT_FRAMEWORK"], spec, Execution(compile=compile, **execution), seed)


def norms(session: Session) -> list[str]:
    return [info.layer_name for info in session.parameters() if info.layer == "norm" and info.role == "weight"]


def make_plan(session: Session, frozen: Sequence[str] = (), **options: object) -> OptimizationPlan:
    """A plan for all tensors except those of frozen norms, with three pairs of multipliers."""
    trained = {info.name: PLANS[info.layer] for info in session.parameters() if info.layer_name not in frozen}
    return OptimizationPlan(trained, frozen_norms=frozenset(frozen), **options)


def micro_batches(count: int = 1) -> list[MicroBatch]:
    parts = zip(*(np.split(array, count) for array in (CLIPS, TARGETS, DROPOUT)), strict=True)
    return [MicroBatch(clips, targets, Draws(dropout)) for clips, targets, dropout in parts]


def trained(steps: int, plan: dict | None = None, count: int = 1, **execution: object) -> Session:
    session = make_session(**execution)
    session.prepare_training(make_plan(session, **(plan or {})))
    for _ in range(steps):
        session.train_step(micro_batches(count), lr=0.02)
    return session


def assert_close(one: Tensors, other: Tensors, **tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], err_msg=name, **tolerance)
