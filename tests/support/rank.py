"""One rank of `tests/backends/contract/test_ranks.py`: trains on its part of each batch and writes its tensors.

LAUNCHER tests/support/rank.py FRAMEWORK FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from trishift.backends import open_session
from trishift.backends.contract import Execution, MicroBatch, OptimizationPlan, ParameterPlan
from trishift.backends.session import Session
from trishift.cli import run
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

SPEC = ModelSpec("resnet10", 4, 4, width=4, shift=ShiftSpec(div=4), head=HeadSpec("multiscale_relation", 8))
STEPS, MICRO_BATCHES, SIZE = 2, 2, 8  # SIZE clips per step, over all ranks and micro-batches


def train(session: Session, freeze_norms: bool) -> dict[str, np.ndarray]:
    """A few steps on noise, rank r of R on clips r, r + R, ... of every batch; returns weights, momentum and losses."""
    norms = {info.layer_name for info in session.parameters() if info.layer == "norm" and freeze_norms}
    trained = {info.name: ParameterPlan(1, 1) for info in session.parameters() if info.layer_name not in norms}
    session.prepare_training(OptimizationPlan(trained, frozen_norms=frozenset(norms), clip_norm=1.0))
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(STEPS):
        mine = slice(session.rank, None, session.world_size)
        clips = np.split(rng.standard_normal((SIZE, 4, 3, 32, 32), np.float32)[mine], MICRO_BATCHES)
        targets = np.split(rng.integers(0, 4, SIZE)[mine], MICRO_BATCHES)
        parts = [MicroBatch(*part) for part in zip(clips, targets, strict=True)]
        losses.append(session.train_step(parts, lr=0.05).loss)
    return {**session.dump_tensors(), **session.dump_optimizer(), "losses": np.array(losses)}


def main(arguments: list[str]) -> None:
    """Train with frozen and with trainable norms, and gather arrays."""
    framework, folder = arguments[0], Path(arguments[1])
    session = open_session(framework, SPEC, Execution(distributed=True, compile=False))
    name = f"rank_{session.rank}"
    np.savez(folder / f"{name}_frozen.npz", **train(session, freeze_norms=True))
    np.savez(folder / f"{name}_learning.npz", **train(session, freeze_norms=False))
    numbers = session.gather(np.array([[session.rank, session.world_size]]))
    mask = session.gather(np.array([session.rank == 0, True]))
    np.savez(folder / f"{name}_gathered.npz", numbers=numbers, mask=mask)
    session.barrier()
    session.close()


if __name__ == "__main__":
    sys.exit(run("train", main, sys.argv[1:]))  # ranks end as they do in train.py
