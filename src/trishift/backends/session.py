"""Base class of the sessions: everything that is the same in all three frameworks.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes, F feature channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trishift.backends.contract import (
    Device,
    Draws,
    Execution,
    Handle,
    MicroBatch,
    OptimizationPlan,
    Optimizer,
    Program,
    Ranks,
    State,
    StepResult,
    TensorAccess,
    check_clips,
    check_tensors,
)
from trishift.backends.loss_scale import LossScale, clip_factor
from trishift.backends.program import ProgramSpec
from trishift.errors import CheckpointError, RecipeError, TrainingError
from trishift.model.initialization import initial_tensors
from trishift.model.online import state_shapes, zero_state
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, parameters, tensor_shapes, tensor_table

Tensor = Any  # a tensor of the framework
Module = Any  # a module (cell, layer) of the framework
Relations = Sequence[Tensor] | None


class Session(ABC):
    """A network in one framework: prediction (see `Predictor`), training and export.

    Public methods are implemented here once; a backend implements the abstract private ones. Ranks exchange gradients
    and statistics only here, in `train_step`.

    Attributes:
        spec, execution: as passed to the constructor.
        network: the framework's own module, neither compiled nor wrapped.
    """

    framework: str
    _access: TensorAccess

    def __init__(self, spec: ModelSpec, execution: Execution, seed: int = 0) -> None:
        """Build the network; initial weights follow the originals' initializers (see `initialization.py`).

        Raises:
            FrameworkError: the device or precision is not supported, or there is no launcher.
        """
        self.spec = spec
        self.execution = execution
        self._ranks = self._join()
        self.network: Module = self._build()
        self._clip_norm: float | None = None
        self._optimizer: Optimizer | None = None
        self._loss_scale = LossScale(enabled=False)
        self.load_tensors(initial_tensors(self.spec, seed))

    @property
    def rank(self) -> int:
        """Rank of this process, counted from 0."""
        return self._ranks.rank

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return self._ranks.world_size

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
        """Create the optimizer (zero momentum) and freeze everything that the plan does not train."""
        self._clip_norm = plan.clip_norm
        self._loss_scale = LossScale(enabled=self.execution.precision == "fp16")
        self._optimizer = self._prepare(plan)

    def load_momentum(self, momentum: Mapping[str, np.ndarray]) -> None:
        """Set the optimizer's momentum; missing names start at zero.

        Raises:
            CheckpointError: a name is not trained or a shape differs.
        """
        buffers, shapes = self._prepared().momentum(), self.tensor_shapes()
        for name, array in momentum.items():
            if name not in buffers or shapes[name] != array.shape:
                raise CheckpointError(f"momentum of {name} {array.shape} does not fit what the recipe trains")
        for name, buffer in buffers.items():
            self._access.write(buffer, momentum.get(name, np.zeros(shapes[name], np.float32)))

    def dump_momentum(self) -> Tensors:
        """Copies of the optimizer's momentum under canonical names and shapes."""
        return self._copies(self._prepared().momentum())

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
        loss, own = self._accumulate(shares, scale)
        gradients = dict(zip(own, self._ranks.means(list(own.values())), strict=True))
        norm = float("nan")
        if self._clip_norm is not None or self._loss_scale.enabled:
            norm = optimizer.total_norm(gradients) / scale
        if self._loss_scale.update(norm):
            optimizer.step(gradients, clip_factor(norm, self._clip_norm) / scale, lr)
        self._average_statistics()
        return StepResult(float(self._ranks.mean(loss)), norm if self._clip_norm is not None else float("nan"))

    def gradients(self, batch: MicroBatch) -> tuple[float, Tensors]:
        """Loss and unclipped gradients of a training pass on this rank; updates running statistics, not weights."""
        loss, gradients = self._accumulate([batch], 1.0)
        copies = self._copies(gradients)
        self._zero_gradients()
        return float(loss), copies

    def _prepared(self) -> Optimizer:
        if self._optimizer is None:
            raise TrainingError("the session has no optimizer yet; call prepare_training first")
        return self._optimizer

    def _accumulate(self, batches: Sequence[MicroBatch], scale: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of the losses of this rank's micro-batches, and the gradients of that sum times `scale`."""
        for batch in batches:
            check_clips(batch.clips.shape, self.spec)
        self._on_weights_change()
        self._zero_gradients()
        self._train_mode()
        losses = [self._backward(batch, scale) for batch in batches]
        return sum(losses[1:], losses[0]), self._gradients()

    def _average_statistics(self) -> None:
        if self.world_size > 1:
            tensors = self._access.tensors(self.network)
            statistics = [tensors[info.name] for info in tensor_table(self.spec) if not info.trainable]
            for tensor, mean in zip(statistics, self._ranks.means(statistics), strict=True):
                self._access.assign(tensor, mean)

    def _inputs(self, batch: MicroBatch) -> tuple[Tensor, Tensor, Tensor | None, Relations]:
        """Clips, targets, dropout factors and relations of a training pass, on the device."""
        draws: Draws = batch.draws
        dropout = None if draws.dropout is None else self._tensor(draws.dropout)
        return self._tensor(batch.clips), self._tensor(batch.targets), dropout, self._relations(draws.relations)

    def _relations(self, tables: Sequence[np.ndarray] | None) -> Relations:
        return tuple(self._tensor(table) for table in tables or ()) or None

    # Prediction

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Evaluation mode: (N, T, C, H, W) float32 to (N, K) float32 logits.

        Raises:
            RecipeError: the head needs `sampled` relations and none were passed.
            DataError: segments or channels of the clips differ from those of the model.
        """
        if relations is None and self.spec.head.consensus != "average" and self.spec.head.relations == "sampled":
            raise RecipeError("head.relations: 'sampled' needs relations drawn by the caller; or choose 'expected'")
        check_clips(clips.shape, self.spec)
        with self._evaluation():
            return self._logits(clips, self._relations(relations))

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """Evaluation-mode activations by name: (N, T', ...) with a frame axis, and (N, K) for `logits`.

        Args:
            clips: (N, T, C, H, W) float32.
            layers: modules of the backbone (`layer1`, `features.3`, `inception_3a`), `pooled` or `logits`.

        Raises:
            RecipeError: the network has no such layer.
            DataError: segments or channels of the clips differ from those of the model.
        """
        check_clips(clips.shape, self.spec)
        found: Tensors = {}

        def keep(name: str, output: Tensor) -> None:
            array = self._access.to_numpy(output)
            found[name] = array if name == "logits" else array.reshape(len(clips), -1, *array.shape[1:])

        hooks = [self._watch(self._layer(name), partial(keep, name)) for name in layers]
        try:
            with self._evaluation():
                self.network(self._tensor(clips))
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def _layer(self, name: str) -> Module:
        if name in ("pooled", "logits"):
            return self.network.backbone if name == "pooled" else self.network.head
        layers = self._layers()
        if name not in layers:
            known = ", ".join(layer for layer in layers if layer and "." not in layer)
            raise RecipeError(f"layer {name!r} is unknown; known layers include {known}, pooled, logits")
        return layers[name]

    # Streaming

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Shifted block to the shape (C // div, H', W') of its stream buffer."""
        return state_shapes(self.spec, height, width)

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """Advance N streams by one frame, in evaluation mode.

        Args:
            frames: (N, C, H, W) float32.
            state: returned for the previous frame; None at the start of a video.

        Returns:
            (N, K) float32 logits of the frames, and the new state.

        Raises:
            RecipeError: the model cannot run frame by frame.
        """
        if state is None:
            state = tuple(self._tensor(buffer) for buffer in zero_state(self.spec, frames.shape))
        with self._evaluation():
            logits, *present = self._next(self._tensor(frames), state)
            return self._access.to_numpy(logits), tuple(present)

    # Export

    @abstractmethod
    def write_program(
        self, spec: ProgramSpec, format_name: str, path: Path, description: dict[str, str], opset: int
    ) -> None:
        """Write the network in a deployment format, see `exporting.py` of each backend.

        Args:
            spec: inputs and outputs.
            format_name: a format that the framework can write.
            path: the file or folder.
            description: texts by name, stored in the file if the format supports it.
            opset: operator-set version of an `onnx` file, if the framework can choose it.

        Raises:
            FrameworkError: the framework cannot write it.
        """

    @staticmethod
    @abstractmethod
    def find_device() -> Device:
        """The best device that this framework finds here."""

    @staticmethod
    @abstractmethod
    def open_program(path: Path, spec: ProgramSpec, execution: Execution) -> Program:
        """Open a program that this framework wrote.

        Raises:
            FrameworkError: the device is not available.
        """

    # Ranks

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Concatenate an array over all ranks along axis 0 (same shape on every rank)."""
        return self._ranks.gather(array)

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._ranks.barrier()

    def close(self) -> None:
        """Leave the process group."""
        self._ranks.close()

    # Implemented by each framework

    @abstractmethod
    def _join(self) -> Ranks:
        """Select the device and join the other processes."""

    @abstractmethod
    def _build(self) -> Module:
        """Build the network on its device, in the precision and layout of `execution`."""

    @abstractmethod
    def _tensor(self, array: np.ndarray) -> Tensor:
        """Copy an array to the device."""

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
    def _backward(self, batch: MicroBatch, scale: float) -> Tensor:
        """Accumulate the gradients of a batch's weighted loss times `scale`; returns the loss without the scale."""

    @abstractmethod
    def _gradients(self) -> dict[str, Tensor]:
        """The accumulated gradients by canonical name."""

    @abstractmethod
    def _evaluation(self) -> AbstractContextManager[object]:
        """Evaluation mode without gradients, in the precision of `execution`."""

    @abstractmethod
    def _logits(self, clips: np.ndarray, relations: Relations) -> np.ndarray:
        """Logits (N, K) of clips (N, T, C, H, W)."""

    @abstractmethod
    def _layers(self) -> Mapping[str, Module]:
        """The backbone's modules by path."""

    @abstractmethod
    def _watch(self, layer: Module, callback: Callable[[Tensor], None]) -> Handle:
        """Call a function with every output of a module."""

    @abstractmethod
    def _next(self, frames: Tensor, state: State) -> Sequence[Tensor]:
        """The logits of the next frames, and the new state."""
