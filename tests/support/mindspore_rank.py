"""One rank of `test_mindspore_distributed.py`: trains on its part of each batch and writes what it then holds.

msrun --worker_num N --local_worker_num N mindspore_rank.py FOLDER; without msrun (and with `alone`): one process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, ParameterPlan
from trishift.backends.mindspore.session import Session
from trishift.model.spec import ModelSpec, ShiftSpec

SPEC = ModelSpec("resnet10", 4, 4, width=4, shift=ShiftSpec(div=4))
STEPS, SIZE = 5, 4  # SIZE clips a step, over all ranks


def train(session: Session, freeze_norms: bool) -> dict[str, np.ndarray]:
    """A few steps on noise, rank r of R on clips r, r + R, ... of every batch; returns weights and losses."""
    norms = frozenset(info.layer_name for info in session.parameters() if info.layer == "norm" and freeze_norms)
    trained = {info.name: ParameterPlan(1, 1) for info in session.parameters() if info.layer_name not in norms}
    session.prepare_training(OptimizationPlan(trained, frozen_norms=norms, clip_norm=1.0))
    rng = np.random.default_rng(0)
    mine = slice(session.rank, None, session.world_size)
    losses = []
    for _ in range(STEPS if freeze_norms else 1):
        clips = rng.standard_normal((SIZE, 4, 3, 32, 32), np.float32)
        batch = MicroBatch(
            clips, rng.integers(0, 4, SIZE), Draws(2 * rng.integers(0, 2, (SIZE, 4, 32)).astype(np.float32))
        )
        part = MicroBatch(batch.clips[mine], batch.targets[mine], Draws(batch.draws.dropout[mine]))
        losses.append(session.train_step([part], lr=0.05).loss)
    return {**session.dump_tensors(), "losses": np.array(losses)}


def main(folder: Path, mode: str) -> None:
    """Train with frozen norms, then with norms that learn; gather something; leave."""
    session = Session(SPEC, Execution(distributed=mode != "alone"))
    np.savez(folder / f"{mode}_frozen_{session.rank}.npz", **train(session, freeze_norms=True))
    np.savez(folder / f"{mode}_learning_{session.rank}.npz", **train(session, freeze_norms=False))
    numbers = session.gather(np.array([[session.rank, session.world_size]]))
    mask = session.gather(np.array([session.rank == 0, True]))
    np.savez(folder / f"{mode}_gathered_{session.rank}.npz", numbers=numbers, mask=mask)
    session.barrier()
    session.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
