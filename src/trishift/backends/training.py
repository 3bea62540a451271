"""The trainable part of a session: its tensors, optimizer steps and optimizer state, the same in all three frameworks.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trishift.backends.contract import (
    Copies,
    Draws,
    Execution,
    MicroBatch,
    OptimizationPlan,
    Optimizer,
    Ranks,
    StepResult,
    TensorAccess,
    check_clips,
    check_tensors,
)
from trishift.backends.host_memory import keep_freed
from trishift.backends.loss_scale import LossScale, clip_factor
from trishift.errors import CheckpointError, DataError, TrainingError
from trishift.model.pixels import Normalization
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, parameters, tensor_shapes, tensor_table

Tensor = Any  # a tensor of the framework
Module = Any  # a module (cell, layer) of the framework
Relations = Sequence[Tensor] | None
_NORM_MOMENTUM = 0.1  # share of a batch in the running statistics of batch norms, in every framework
STEP = "step."  # starts the entries of an optimizer's state that count the updates of a tensor


class Trainable(ABC):
    """A network that can be trained.

    Ranks exchange gradients and statistics only here, in `train_step`.
    """

    spec: ModelSpec
    execution: Execution
    network: Module
    _access: TensorAccess
    _uploads: Copies
    _ranks: Ranks
    _clip_norm: float | None = None
    _frozen_norms: frozenset[str] = frozenset()
    _average: dict[str, Tensor]
    _optimizer: Optimizer | None = None
    _loss_scale = LossScale(enabled=False)

    # Tensors

    def parameters(self) -> tuple[TensorInfo, ...]:
        """All trainable tensors in network order."""
        return parameters(self.spec)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name to canonical shape of every tensor (running statistics included), in network order."""
        return tensor_shapes(self.spec)

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Load weights; names and shapes must match `tensor_shapes` exactly.

        Raises:
            CheckpointError: a tensor is missing, unknown or has another shape; the network is left untouched.
        """
        check_tensors(tensors, self.tensor_shapes())
        self._on_weights_change()
        for name, tensor in self._access.tensors(self.network).items():
            self._access.write(tensor, tensors[name])

    def dump_tensors(self) -> Tensors:
        """Copies of the weights under canonical names and shapes."""
        return self._copies(self._access.tensors(self.network))

    def _copies(self, tensors: Mapping[str, Tensor]) -> Tensors:
        return {name: self._access.read(tensor) for name, tensor in tensors.items()}

    # Training

    def prepare_training(self, plan: OptimizationPlan) -> None:
        """Create the optimizer (zero state) and freeze everything that the plan does not train."""
        self._clip_norm, self._frozen_norms = plan.clip_norm, plan.frozen_norms
        self._loss_scale = LossScale(enabled=self.execution.precision == "fp16")
        if self.execution.device == "cpu":
            keep_freed()
        self._optimizer = self._prepare(plan)

    def load_optimizer(self, state: Mapping[str, np.ndarray]) -> None:
        """Set the optimizer's state, by names such as `momentum.head.fc.weight`; missing entries start at zero.

        Raises:
            CheckpointError: the optimizer has no such entry, the tensor is not trained, or a shape differs.
        """
        optimizer, shapes = self._prepared(), self.tensor_shapes()
        buffers = _by_entry(optimizer.buffers())
        counts = {f"{STEP}{name}": name for name in optimizer.steps}
        for entry, array in state.items():
            slot, _, name = entry.partition(".")
            expected = (1,) if entry in counts else shapes[name] if entry in buffers else None
            if array.shape != expected:
                raise CheckpointError(f"{slot} of {name} {array.shape} does not fit what the recipe trains")
        for entry, buffer in buffers.items():
            shape = shapes[entry.partition(".")[2]]
            self._access.write(buffer, state.get(entry, np.zeros(shape, np.float32)))
        for entry, name in counts.items():
            optimizer.steps[name] = int(state[entry][0]) if entry in state else 0

    def dump_optimizer(self) -> Tensors:
        """Copies of the optimizer's state, see `load_optimizer`; step counts have shape (1,)."""
        optimizer = self._prepared()
        counts = {f"{STEP}{name}": np.full(1, steps, np.float32) for name, steps in optimizer.steps.items()}
        return {**self._copies(_by_entry(optimizer.buffers())), **counts}

    def train_step(self, batches: Sequence[MicroBatch], lr: float) -> StepResult:
        """Take one optimizer step on the mean gradient of the micro-batches of all ranks.

        The order is the same in every framework:

        1. On this rank, sum losses and gradients of the micro-batches, each times its weight / number of micro-batches.
        2. Average the gradients over the ranks, in one exchange.
        3. Clip them by their total norm; under fp16, skip the update on overflow.
        4. Update the weights.
        5. Average the loss and the running statistics over the ranks, so that all ranks keep the same network.

        Args:
            batches: the micro-batches of this rank; every rank passes the same number.
            lr: learning rate, before the plan's multipliers.

        Raises:
            TrainingError: `prepare_training` has not been called.
        """
        optimizer, scale = self._prepared(), self._loss_scale.factor
        shares = [replace(batch, weight=batch.weight / len(batches)) for batch in batches]
        loss, hits, own = self._accumulate(shares, scale)
        gradients = dict(zip(own, self._ranks.means(list(own.values())), strict=True))
        norm: Any = math.nan
        if self._clip_norm is not None or self._loss_scale.enabled:
            norm = optimizer.total_norm(gradients) / scale
        if self._loss_scale.update(norm):
            optimizer.step(gradients, self._factor(norm, scale), lr)
        self._average_statistics()
        loss, hits = self._ranks.means([loss, hits])
        accuracy = math.nan if self.spec.multi_label else hits
        return StepResult(loss, norm if self._clip_norm is not None else math.nan, accuracy)

    def _factor(self, norm: Any, scale: float) -> Any:
        """The factor on gradients that are `scale` times too large; None: 1, which need not be applied."""
        factor = clip_factor(norm, self._clip_norm) / scale
        if self.execution.device == "cpu":  # where reading a number does not hold up the device
            factor = float(factor)
        return None if isinstance(factor, float) and factor == 1 else factor

    def start_average(self, tensors: Mapping[str, np.ndarray] | None = None) -> None:
        """Keep a running mean of all tensors, which starts at `tensors`; None: at the weights.

        Raises:
            CheckpointError: a tensor is missing, unknown or has another shape.
        """
        if tensors is not None:
            check_tensors(tensors, self.tensor_shapes())
        present = self._access.tensors(self.network)
        self._average = {name: self._access.clone(tensor) for name, tensor in present.items()}
        for name, array in (tensors or {}).items():
            self._access.write(self._average[name], array)

    def update_average(self, decay: float) -> None:
        """Move the running mean to decay * mean + (1 - decay) * weights."""
        for name, tensor in self._access.tensors(self.network).items():
            self._access.blend(self._average[name], tensor, 1 - decay)

    def dump_average(self) -> Tensors:
        """Copies of the running mean under canonical names and shapes."""
        return self._copies(self._average)

    def measure_statistics(self, batches: Iterable[MicroBatch]) -> None:
        """Replace the statistics of the batch norms that learn them by those of some batches of all ranks.

        Running means lag behind the weights. The mean is that of the batches' means, and the variance also contains the
        variance of these means (Wu and Johnson 2021, arXiv:2105.07576).
        """
        table = [info for info in tensor_table(self.spec) if info.layer_name not in self._frozen_norms]
        tensors = self._access.tensors(self.network)
        means = {info.layer_name: tensors[info.name] for info in table if info.role == "running_mean"}
        variances = {info.layer_name: tensors[info.name] for info in table if info.role == "running_var"}
        measured = [self._batch_statistics(batch, [*means.values(), *variances.values()]) for batch in batches]
        for index, name in enumerate(means):
            batch_means = np.stack([arrays[index] for arrays in measured])
            variance = np.mean([arrays[len(means) + index] for arrays in measured], 0) + batch_means.var(0)
            self._access.write(means[name], batch_means.mean(0).astype(np.float32))
            self._access.write(variances[name], variance.astype(np.float32))

    def _batch_statistics(self, batch: MicroBatch, statistics: Sequence[Tensor]) -> list[np.ndarray]:
        """What a training pass adds to running statistics that are zero, divided by its share."""
        for tensor in statistics:
            self._access.write(tensor, np.zeros(tensor.shape, np.float32))
        self._accumulate([batch], 1.0)
        self._zero_gradients()
        arrays = [self._access.read(tensor) for tensor in self._ranks.means(statistics)]
        return [array.astype(np.float64) / _NORM_MOMENTUM for array in arrays]

    def gradients(self, batch: MicroBatch) -> tuple[float, Tensors]:
        """Loss and unclipped gradients of a training pass on this rank; updates running statistics, not weights."""
        loss, _, gradients = self._accumulate([batch], 1.0)
        copies = self._copies(gradients)
        self._zero_gradients()
        return float(loss), copies

    def training_logits(self, batch: MicroBatch) -> np.ndarray:
        """Logits (N, K) that a training pass has: with its draws and the batch's own statistics, updating nothing."""
        check_clips(batch.clips.shape, self.spec)
        tensors = self._access.tensors(self.network)
        statistics = [tensors[info.name] for info in tensor_table(self.spec) if not info.trainable]
        before = [self._access.clone(tensor) for tensor in statistics]
        self._train_mode()
        logits = self._access.to_numpy(self._forward(batch))
        for tensor, value in zip(statistics, before, strict=True):
            self._access.assign(tensor, value)
        return logits

    def _prepared(self) -> Optimizer:
        if self._optimizer is None:
            raise TrainingError("the session has no optimizer yet; call prepare_training first")
        return self._optimizer

    def _accumulate(self, batches: Sequence[MicroBatch], scale: float) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Loss, summed over this rank's micro-batches, their mean hits, and the gradients of the loss times `scale`."""
        for batch in batches:
            check_clips(batch.clips.shape, self.spec)
        self._on_weights_change()
        self._zero_gradients()
        self._train_mode()
        losses, hits = zip(*(self._backward(batch, scale) for batch in batches), strict=True)
        return sum(losses[1:], losses[0]), sum(hits[1:], hits[0]) / len(hits), self._gradients()

    def _average_statistics(self) -> None:
        if self._ranks.world_size > 1:
            tensors = self._access.tensors(self.network)
            statistics = [tensors[info.name] for info in tensor_table(self.spec) if not info.trainable]
            for tensor, mean in zip(statistics, self._ranks.means(statistics), strict=True):
                self._access.assign(tensor, mean)

    def _inputs(self, batch: MicroBatch) -> tuple[Tensor, ...]:
        """Clips, targets, guide, dropout factors, relations and survival factors of a training pass, on the device."""
        draws: Draws = batch.draws
        optional = (batch.guide, draws.dropout, draws.survival)
        guide, dropout, survival = (None if array is None else self._tensor(array) for array in optional)
        relations = self._relations(draws.relations)
        clips = self._normalized(batch.clips, batch.normalization)
        return clips, self._tensor(batch.targets), guide, dropout, relations, survival

    def _normalized(self, clips: np.ndarray, rule: Normalization | None) -> Tensor:
        """Clips on the device, normalized there if they are uint8."""
        if clips.dtype != np.uint8:
            return self._tensor(clips)
        if rule is None:
            raise DataError("clips of uint8: nobody said how to normalize them; call accept_pixels, or pass float32")
        return self._access.normalize(self._tensor(clips), self._tensor(rule.factors), self._tensor(rule.offsets))

    def _relations(self, tables: Sequence[np.ndarray] | None) -> Relations:
        return tuple(self._tensor(table) for table in tables or ()) or None

    def _tensor(self, array: np.ndarray) -> Tensor:
        """An array on the device."""
        return self._uploads.take(array)

    # Implemented by each framework

    @abstractmethod
    def _on_weights_change(self) -> None:
        """Discard cached copies of the weights."""

    @abstractmethod
    def _prepare(self, plan: OptimizationPlan) -> Optimizer:
        """Set the loss, freeze everything that the plan does not train, and create the optimizer."""

    @abstractmethod
    def _train_mode(self) -> None:
        """Enter training mode, except for frozen norms, which use their running statistics without updating them."""

    @abstractmethod
    def _zero_gradients(self) -> None:
        """Clear all gradients."""

    @abstractmethod
    def _backward(self, batch: MicroBatch, scale: float) -> tuple[Tensor, Tensor]:
        """Accumulate the gradients of a batch's weighted loss times `scale`; returns the unscaled loss and `hits`."""

    @abstractmethod
    def _forward(self, batch: MicroBatch) -> Tensor:
        """The logits of a batch in the present mode, without gradients."""

    @abstractmethod
    def _gradients(self) -> dict[str, Tensor]:
        """The accumulated gradients by canonical name."""


def _by_entry(buffers: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{slot}.{name}": tensor for slot, tensors in buffers.items() for name, tensor in tensors.items()}
