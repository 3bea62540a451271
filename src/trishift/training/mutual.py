"""Deep mutual learning (Zhang et al. 2018, arXiv:1706.00384): two students that guide each other.

The student of the run is joined by a peer: the same model with another start. In every step, both learn from the labels
and from the other's class probabilities before the step. Only the student is evaluated and exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trishift.backends import open_session
from trishift.backends.contract import MicroBatch, OptimizationPlan
from trishift.backends.session import Session
from trishift.evaluation.metrics import softmax
from trishift.model.relations import prediction_relations
from trishift.model.tensors import Tensors, tensor_table
from trishift.recipe import Recipe
from trishift.training.parameter_groups import prepare_optimizer

_WEIGHTS, _OPTIMIZER = "weights.", "optimizer."  # start the entries of a peer's state


class Peer:
    """The second student.

    Its weights are drawn with the next seed. If the student starts from a weight file, so does the peer, with another
    new head.

    Args:
        recipe: the resolved recipe.
        student: the student, with its initial weights.

    Attributes:
        session: the peer's network.
    """

    def __init__(self, recipe: Recipe, student: Session) -> None:
        self._student, self._temperature = student, recipe.train.distillation.temperature
        self.session = open_session(student.framework, recipe.model, recipe.execution, recipe.train.seed + 1)
        if recipe.train.initial_weights:
            own, weights = self.session.dump_tensors(), student.dump_tensors()
            head = {info.name: own[info.name] for info in tensor_table(recipe.model) if info.part == "head"}
            self.session.load_tensors({**weights, **head})

    def restore(self, plan: OptimizationPlan, state: Mapping[str, np.ndarray]) -> None:
        """Prepare the optimizer, and continue from the state of a resumed run unless it is empty."""
        if state:
            self.session.load_tensors(_part(state, _WEIGHTS))
        prepare_optimizer(self.session, plan, _part(state, _OPTIMIZER))

    def learn(self, batches: Sequence[MicroBatch], lr: float) -> None:
        """Take a step from the labels and from what the student says before its own step."""
        guided = [replace(batch, guide=self._of_student(batch.clips)) for batch in batches]
        self.session.train_step(guided, lr)

    def state(self) -> Tensors:
        """Everything that resuming a run needs."""
        weights, optimizer = self.session.dump_tensors(), self.session.dump_optimizer()
        return {
            **{_WEIGHTS + name: array for name, array in weights.items()},
            **{_OPTIMIZER + entry: array for entry, array in optimizer.items()},
        }

    def _of_student(self, clips: np.ndarray) -> np.ndarray:
        logits = self._student.predict(clips, prediction_relations(self._student.spec))
        return softmax(logits / np.float32(self._temperature))


def _part(state: Mapping[str, np.ndarray], prefix: str) -> Tensors:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
