"""A recognizer in MindSpore, ready to train or predict: the backend protocol of `backends.base`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, State, StepResult
from trishift.backends.mindspore import tensors as naming
from trishift.backends.mindspore.batch_norm import freeze, synchronize
from trishift.backends.mindspore.compiled import Pass
from trishift.backends.mindspore.device import select_device
from trishift.backends.mindspore.distributed import Ranks
from trishift.backends.mindspore.losses import loss
from trishift.backends.mindspore.optimizer import Optimizer
from trishift.backends.mindspore.recognizer import Recognizer, check_clips
from trishift.backends.mindspore.streaming import StreamingRecognizer
from trishift.errors import RecipeError, TrainingError
from trishift.model.initialization import initial_tensors
from trishift.model.losses import LossSpec
from trishift.model.online import state_shapes, zero_state
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, parameters, tensor_shapes

_DTYPES = {"bf16": mstype.bfloat16, "fp16": mstype.float16}


class Session:
    """A network, its optimizer and its place among the ranks.

    The training pass and prediction run as graphs, compiled once for a batch shape: at once, never or when it pays, as
    `Execution.compile` says. `Execution.channels_last` changes nothing: MindSpore has no memory formats.

    Attributes:
        network: the `Recognizer`, never compiled.
    """

    framework = "mindspore"

    def __init__(self, spec: ModelSpec, execution: Execution, seed: int = 0) -> None:
        self.spec = spec
        self.execution = execution
        select_device(execution)
        self._ranks = Ranks(execution.distributed)
        self.network = self._build(seed)
        self._trained = naming.parameters(self.network)
        self._loss = loss(LossSpec())
        self._optimizer: Optimizer | None = None
        self._training_pass = self._make_training_pass()
        self._evaluation_pass = self._make_evaluation_pass()
        self._step_pass: Pass | None = None
        self._batch_sizes: dict[tuple[int, ...], int] = {}

    def _build(self, seed: int) -> Recognizer:
        network = Recognizer(self.spec)
        naming.load_tensors(network, initial_tensors(self.spec, seed))
        if self.execution.sync_batch_norm:
            synchronize(network)
        if self.execution.precision != "fp32":
            use_mixed_precision(network, _DTYPES[self.execution.precision])
        return network

    @property
    def rank(self) -> int:
        """Number of this process."""
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
        """Canonical name to canonical shape of every tensor in network order."""
        return tensor_shapes(self.spec)

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Copy weights in; see `tensors.load_tensors`."""
        naming.load_tensors(self.network, tensors)

    def dump_tensors(self) -> Tensors:
        """Copy weights out under canonical names."""
        return naming.dump_tensors(self.network)

    # Training

    def prepare_training(self, plan: OptimizationPlan) -> None:
        """Make the optimizer, with zero momentum, and freeze what the plan does not train."""
        for name, layer, cell in naming.layers(self.network):
            if layer == "norm":
                freeze(cell, name in plan.frozen_norms)
        parameters = naming.parameters(self.network)
        self._trained = {name: parameters[name] for name in plan.parameters}
        self._loss = loss(plan.loss)
        self._optimizer = Optimizer(self._trained, plan, loss_scaling=self.execution.precision == "fp16")
        self._training_pass = self._make_training_pass()

    def load_momentum(self, momentum: Mapping[str, np.ndarray]) -> None:
        """Set the optimizer's momentum; missing names start at zero."""
        self._prepared().load_momentum(momentum)

    def dump_momentum(self) -> Tensors:
        """The optimizer's momentum under canonical names."""
        return self._prepared().dump_momentum()

    def train_step(self, batches: Sequence[MicroBatch], lr: float) -> StepResult:
        """One optimizer step on the mean gradient of the micro-batches (and of all ranks).

        Running statistics become the means over the ranks, so that all ranks keep the same network.
        """
        optimizer = self._prepared()
        scale = optimizer.loss_scale
        total, gradients = self._run_training_pass(batches[0], scale / len(batches))
        for batch in batches[1:]:
            batch_loss, more = self._run_training_pass(batch, scale / len(batches))
            total += batch_loss
            gradients = tuple(a + b for a, b in zip(gradients, more, strict=True))
        gradient_norm = optimizer.step(self._ranks.means(gradients), lr)
        self._average_statistics()
        return StepResult(float(self._ranks.mean(total).asnumpy()) / scale, gradient_norm)

    def gradients(self, batch: MicroBatch) -> tuple[float, Tensors]:
        """Loss and unclipped gradients of a training-mode pass on this rank; changes running statistics."""
        batch_loss, gradients = self._run_training_pass(batch, 1.0)
        arrays = {name: naming.to_numpy(value) for name, value in zip(self._trained, gradients, strict=True)}
        return float(batch_loss.asnumpy()), arrays

    def _prepared(self) -> Optimizer:
        if self._optimizer is None:
            raise TrainingError("the session has no optimizer yet; call prepare_training first")
        return self._optimizer

    def _make_training_pass(self) -> Pass:
        """A function of (clips, targets, dropout, relations, factor): the loss times the factor, and its gradients."""
        network, criterion = self.network, self._loss

        def training_loss(
            clips: Tensor,
            targets: Tensor,
            dropout: Tensor | None,
            relations: tuple[Tensor, ...] | None,
            factor: Tensor,
        ) -> Tensor:
            return criterion(network(clips, dropout, relations), targets) * factor

        gradients = mindspore.value_and_grad(training_loss, None, list(self._trained.values()))
        return Pass(gradients, self.execution.compile)

    def _run_training_pass(self, batch: MicroBatch, factor: float) -> tuple[Tensor, tuple[Tensor, ...]]:
        check_clips(batch.clips.shape, self.spec)
        self.network.set_train(True)
        clips, targets = _tensor(batch.clips), _tensor(batch.targets)
        return self._training_pass(clips, targets, *_draws(batch.draws), Tensor(factor * batch.weight, mstype.float32))

    def _average_statistics(self) -> None:
        if self.world_size > 1:
            statistics = naming.statistics(self.network)
            for parameter, mean in zip(statistics, self._ranks.means(statistics), strict=True):
                naming.assign(parameter, mean)

    # Prediction

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Evaluation mode: (N, T, C, H, W) float32 to (N, K) float32 logits.

        Raises:
            RecipeError: a head with `sampled` relations gets none.
        """
        if relations is None and self.spec.head.consensus != "average" and self.spec.head.relations == "sampled":
            raise RecipeError("head.relations: 'sampled' needs relations drawn by the caller; or choose 'expected'")
        check_clips(clips.shape, self.spec)
        self.network.set_train(False)
        tables = tuple(_tensor(table) for table in relations or ()) or None
        logits = self._evaluation_pass(_tensor(self._fill_batch(clips)), tables)
        return naming.to_numpy(logits)[: len(clips)]

    def _make_evaluation_pass(self) -> Pass:
        """A function of (clips, relations): the logits."""
        network = self.network

        def logits(clips: Tensor, relations: tuple[Tensor, ...] | None) -> Tensor:
            return network(clips, None, relations)

        return Pass(logits, self.execution.compile)

    def _fill_batch(self, clips: np.ndarray) -> np.ndarray:
        """Pad a batch with zeros to the largest one of its kind so far, for which there is a graph already."""
        if self.execution.compile is False:
            return clips
        size = max(len(clips), self._batch_sizes.get(clips.shape[1:], 0))
        self._batch_sizes[clips.shape[1:]] = size
        padding = np.zeros((size - len(clips), *clips.shape[1:]), clips.dtype)
        return np.concatenate([clips, padding])

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """Evaluation-mode activations by name, frames explicit: (N, T', ...) and (N, K) for `logits`.

        Args:
            clips: (N, T, C, H, W).
            layers: cells of the backbone (`layer1`, `features.3`, `inception_3a`), `pooled` or `logits`.

        Raises:
            RecipeError: the network has no such layer.
        """
        found: Tensors = {}

        def keep(name: str, output: Tensor) -> None:
            array = naming.to_numpy(output)
            found[name] = array if name == "logits" else array.reshape(len(clips), -1, *array.shape[1:])

        check_clips(clips.shape, self.spec)
        self.network.set_train(False)
        hooks = [
            self._layer(name).register_forward_hook(lambda _, __, output, name=name: keep(name, output))
            for name in layers
        ]
        try:
            self.network(_tensor(clips))
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def _layer(self, name: str) -> nn.Cell:
        if name in ("pooled", "logits"):
            return self.network.backbone if name == "pooled" else self.network.head
        cells = dict(self.network.backbone.cells_and_names())
        if name not in cells:
            known = ", ".join(self.network.backbone.name_cells())
            raise RecipeError(f"layer {name!r} is unknown; among others there are {known}, pooled, logits")
        return cells[name]

    # Streaming

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Shifted block to the shape (C // div, H', W') of what a stream keeps of it."""
        return state_shapes(self.spec, height, width)

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """The next frame of N streams, in evaluation mode.

        Args:
            frames: (N, C, H, W) float32.
            state: what the step before returned; None at the beginning of a video.

        Returns:
            (N, K) float32 logits of the frames, and the new state.

        Raises:
            RecipeError: the model cannot run frame by frame.
        """
        if state is None:
            state = tuple(_tensor(buffer) for buffer in zero_state(self.spec, frames.shape))
        step = self._streaming()
        self.network.set_train(False)
        logits, *present = step(_tensor(frames), *state)
        return naming.to_numpy(logits), tuple(present)

    def _streaming(self) -> Pass:
        if self._step_pass is None:
            network = StreamingRecognizer(self.network)

            def step(frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
                return network(frames, *state)

            self._step_pass = Pass(step, self.execution.compile)
        return self._step_pass

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


def use_mixed_precision(network: Recognizer, dtype: Any) -> None:
    """Compute the convolutions in another type; norms, heads and weights stay float32.

    `amp.auto_mixed_precision` is not used: it puts cells around cells, and their paths would change.
    """
    for _, layer, cell in naming.layers(network):
        if layer == "conv":
            cell.to_float(dtype)
        else:
            cell.to_float(mstype.float32)


def _tensor(array: np.ndarray) -> Tensor:
    """An array on the device; MindSpore counts classes in int32."""
    return Tensor(np.ascontiguousarray(array, np.int32 if array.dtype == np.int64 else array.dtype))


def _draws(draws: Draws) -> tuple[Tensor | None, tuple[Tensor, ...] | None]:
    """Dropout factors and relations, as `Recognizer.construct` takes them."""
    dropout = None if draws.dropout is None else _tensor(draws.dropout)
    return dropout, tuple(_tensor(table) for table in draws.relations) or None
