"""One experiment for all frameworks, with the same weights, clips and random draws.

    python -m tests.support.parity.measurement paddle FOLDER REDRAWS CASE ...

Results are kept as npz files in a folder and reused (`record`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from testing.weights import smooth_weights
from tests.support import isolated
from tests.support.parity.cases import Case, batch, cases, micro_batches, redrawn
from tests.support.parity.comparison import GAP

from trishift.backends import open_session
from trishift.backends.contract import Execution, OptimizationPlan, ParameterPlan
from trishift.backends.fast_forms import FormName
from trishift.backends.session import Session
from trishift.model.tensors import Tensors
from trishift.training.parameter_groups import optimization_plan

if TYPE_CHECKING:
    from tests.support.parity.ties import ClosestTie

REFERENCE = "pytorch"
STEPS = 3


def measure(case: Case, framework: str, execution: Execution | None = None) -> Tensors:
    """All compared arrays by `quantity/tensor` (logits and losses have no second part).

    The reference predicts in its default, the fused form.
    """
    form: FormName = "fused" if framework == REFERENCE else "native"
    session = open_session(framework, case.spec, execution or Execution(), form=form, strict=True)
    start = smooth_weights(session.spec)
    session.load_tensors(start)
    result = {"logits": session.predict(batch(case, 0).clips)}
    with _watched_pools(framework) as closest:
        result.update(_learn(case, session, start))
    if closest:
        result[GAP] = np.array(closest.gap)
    session.close()
    return result


def _watched_pools(framework: str) -> AbstractContextManager[ClosestTie | None]:
    """A watch over PyTorch's max pools; none in other frameworks, which must not import PyTorch."""
    if framework != REFERENCE:
        return nullcontext()
    from tests.support.parity.ties import ClosestTie

    return ClosestTie()


def _learn(case: Case, session: Session, start: Tensors) -> Tensors:
    """Loss, gradients and statistics of one training pass, and the results of the optimizer's steps."""
    session.load_tensors({**start, **_scaled(_statistics(start), 0)})
    everything = {info.name: ParameterPlan(1, 1) for info in session.parameters()}
    session.prepare_training(OptimizationPlan(everything, case.train.loss))
    loss, gradients = session.gradients(batch(case, 0))
    statistics = _statistics(session.dump_tensors())
    session.load_tensors({**start, **_scaled(statistics, 10)})  # the batch's own, as in training
    return {
        "loss": np.array(loss),
        **_named("gradients", gradients),
        **_named("statistics", statistics),
        **_train(case, session),
    }


def _scaled(tensors: Tensors, factor: float) -> Tensors:
    return {name: np.float32(factor) * array for name, array in tensors.items()}


def _train(case: Case, session: Session) -> Tensors:
    """Results of three optimizer steps."""
    session.prepare_training(optimization_plan(session.parameters(), case.train, "rgb"))
    losses = [session.train_step(micro_batches(case, step), case.train.lr).loss for step in range(STEPS)]
    return {
        "losses": np.array(losses),
        **_named("weights", session.dump_tensors()),
        **_named("momentum", _momentum(session.dump_optimizer())),
    }


def compiled_logits(case: Case, framework: str) -> Tensors:
    """Logits of the compiled form, into which fused ones turn, too; it must also accept a smaller batch."""
    session = open_session(framework, case.spec, form="compiled", strict=True)
    session.load_tensors(smooth_weights(session.spec))
    clips = batch(case, 0).clips
    logits = session.predict(clips)
    assert np.allclose(session.predict(clips[:1]), logits[:1], rtol=1e-3, atol=1e-4)
    return {"compiled logits": logits}


def _momentum(state: Tensors) -> Tensors:
    """The running means of gradients in an optimizer's state."""
    entries = ((*entry.partition("."), array) for entry, array in state.items())
    return {name: array for kind, _, name, array in entries if kind in ("momentum", "exp_avg")}


def _named(quantity: str, tensors: Tensors) -> Tensors:
    return {f"{quantity}/{name}": array for name, array in tensors.items()}


def _statistics(tensors: Tensors) -> Tensors:
    return {name: array for name, array in tensors.items() if name.endswith(("running_mean", "running_var"))}


# Processes and files


def path_of(case: Case, framework: str, folder: Path) -> Path:
    """File of a case's results."""
    return folder / framework / f"{case.name.replace(' ', '-')}-{case.draw}.npz"


def record(framework: str, folder: Path, chosen: Sequence[Case], redraw: int) -> None:
    """Measure those of the cases, all redrawn as often, that the folder lacks."""
    missing = [case for case in chosen if not path_of(case, framework, folder).is_file()]
    if not missing:
        return
    names = [case.name for case in missing]
    isolated.experiment("parity.measurement", framework, folder, redraw, *names)


def read(case: Case, framework: str, folder: Path) -> Tensors:
    """Recorded results of a case."""
    with np.load(path_of(case, framework, folder)) as arrays:
        return dict(arrays)


def main(framework: str, folder: str, redraw: str, *names: str) -> None:
    """Measure cases and write their files."""
    for case in redrawn(cases(), int(redraw)):
        if case.name not in names:
            continue
        target = path_of(case, framework, Path(folder))
        target.parent.mkdir(parents=True, exist_ok=True)
        result = measure(case, framework)
        if case.compiled and framework != REFERENCE:
            result.update(compiled_logits(case, framework))
        with target.with_suffix(".part").open("wb") as file:
            np.savez(file, **result)
        target.with_suffix(".part").replace(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
