"""Deep mutual learning (Zhang et al. 2018, arXiv:1706.00384): two students that guide each other.

The student of the run is joined by a peer: the same model with another start, or another network. In every step, both
learn from the labels and from the other's class probabilities before the step: those of its predictions or, if `joint`,
those that it has in the training pass itself. Only the student is evaluated and exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trishift.backends import open_session
from trishift.backends.contract import MicroBatch
from trishift.backends.session import Session
from trishift.evaluation.metrics import softmax
from trishift.model.relations import prediction_relations
from trishift.model.tensors import Tensors, tensor_table
from trishift.recipe import Recipe, TrainSpec
from trishift.training.draws import draw_step, take
from trishift.training.initial_weights import load_initial_weights
from trishift.training.parameter_groups import optimization_plan, prepare_optimizer

_WEIGHTS, _OPTIMIZER = "weights.", "optimizer."  # start the entries of a peer's state


class Peer:
    """The second student.

    Its weights are drawn with the next seed, as is its dropout. If the student starts from a weight file, so does a
    peer of the same network, with another new head; another network starts from its own file.

    Args:
        recipe: the resolved recipe.
        student: the student, with its initial weights.
        initial_weights: the file that a peer of another network starts from, or None.
        class_names: names of the data set's K classes.

    Attributes:
        session: the peer's network.

    Raises:
        CheckpointError: the file does not fit the peer's network.
        DataError: its head is kept, but knows other classes.
    """

    def __init__(
        self,
        recipe: Recipe,
        student: Session,
        initial_weights: Path | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        self._recipe, self._student = recipe, student
        spec = recipe.train.distillation.peer
        model = spec.model(recipe.model)
        self.session = open_session(student.framework, model, recipe.execution, recipe.train.seed + 1)
        if initial_weights is not None:
            load_initial_weights(replace(recipe, model=model), self.session, initial_weights, class_names)
        elif recipe.train.initial_weights and not spec.backbone:
            own, weights = self.session.dump_tensors(), student.dump_tensors()
            head = {info.name: own[info.name] for info in tensor_table(model) if info.part == "head"}
            self.session.load_tensors({**weights, **head})

    def restore(self, train: TrainSpec, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        """Prepare the optimizer, and continue from the state of a resumed run unless it is empty.

        Args:
            train: the training section with all class weights.
            epoch: from 0.
            state: see `state`.
        """
        self._train = train
        if (factor := train.distillation.peer.head_lr_mult) is not None:
            self._train = replace(train, head_lr_mult=factor)
        if state:
            self.session.load_tensors(_part(state, _WEIGHTS))
        self._prepare(epoch, _part(state, _OPTIMIZER))

    def unfreeze(self, epoch: int) -> None:
        """Prepare the optimizer for stages that are frozen no longer; their state starts at zero."""
        self._prepare(epoch, self.session.dump_optimizer())

    def _prepare(self, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        plan = optimization_plan(self.session.parameters(), self._train, self._recipe.input.modality, epoch)
        prepare_optimizer(self.session, plan, state)

    def learn(self, batches: Sequence[MicroBatch], lr: float, iteration: int) -> list[MicroBatch]:
        """Take a step from the labels and from what the student says before its own step.

        Args:
            batches: the student's micro-batches.
            lr: learning rate.
            iteration: determines the draws.

        Returns:
            The student's micro-batches, if `joint` guided by what the peer said before this step.
        """
        joint = self._recipe.train.distillation.joint
        own = self._drawn(batches, iteration)
        guides = [self._said(self._student, batch, joint) for batch in batches]
        answers = [self._said(self.session, batch, joint) if joint else batch.guide for batch in own]
        self.session.train_step([replace(batch, guide=guide) for batch, guide in zip(own, guides, strict=True)], lr)
        return [replace(batch, guide=answer) for batch, answer in zip(batches, answers, strict=True)]

    def state(self) -> Tensors:
        """Everything that resuming a run needs."""
        weights, optimizer = self.session.dump_tensors(), self.session.dump_optimizer()
        return {
            **{_WEIGHTS + name: array for name, array in weights.items()},
            **{_OPTIMIZER + entry: array for entry, array in optimizer.items()},
        }

    def _drawn(self, batches: Sequence[MicroBatch], iteration: int) -> list[MicroBatch]:
        """The micro-batches with the peer's own draws."""
        train, spec = self._recipe.train, self.session.spec
        size = sum(len(batch.clips) for batch in batches)
        draws = draw_step(spec, size, train.seed + 1, iteration, train.stochastic_depth)
        ends = np.cumsum([len(batch.clips) for batch in batches])
        parts = [take(draws, slice(end - len(batch.clips), end)) for batch, end in zip(batches, ends, strict=True)]
        return [replace(batch, draws=part) for batch, part in zip(batches, parts, strict=True)]

    def _said(self, session: Session, batch: MicroBatch, joint: bool) -> np.ndarray:
        """Class probabilities (N, K) of a network, flattened by the temperature."""
        if joint:
            logits = session.training_logits(batch)
        else:
            logits = session.predict(batch.clips, prediction_relations(session.spec))
        return softmax(logits / np.float32(self._recipe.train.distillation.temperature))


def _part(state: Mapping[str, np.ndarray], prefix: str) -> Tensors:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
