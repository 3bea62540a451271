"""A recognizer in PaddlePaddle, ready to train or predict: the backend protocol of `backends.base`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import paddle
from paddle import Tensor, nn

from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, State, StepResult
from trishift.backends.paddle import tensors as naming
from trishift.backends.paddle.batch_norm import synchronize
from trishift.backends.paddle.compiled import Program, compile_network
from trishift.backends.paddle.device import select_device
from trishift.backends.paddle.distributed import Ranks
from trishift.backends.paddle.losses import loss
from trishift.backends.paddle.optimizer import Optimizer
from trishift.backends.paddle.recognizer import Recognizer
from trishift.backends.paddle.streaming import StreamingRecognizer
from trishift.errors import RecipeError, TrainingError
from trishift.model.initialization import initial_tensors
from trishift.model.losses import LossSpec
from trishift.model.online import state_shapes, zero_state
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, parameters, tensor_shapes

_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


class Session:
    """A network, its optimizer and its place among the ranks.

    `Execution.channels_last` changes nothing here: Paddle has no memory formats.

    Attributes:
        network: the `Recognizer`, never compiled.
    """

    framework = "paddle"

    def __init__(self, spec: ModelSpec, execution: Execution, seed: int = 0) -> None:
        self.spec = spec
        self.execution = execution
        self._ranks = Ranks(execution.distributed, execution.device)
        select_device(execution, self._ranks.local_rank)
        self.network = self._build(seed)
        self._program: Program | None = None  # compiled on demand, dropped when weights change
        self._stepper: StreamingRecognizer | None = None
        self._loss = loss(LossSpec())
        self._frozen: list[nn.Layer] = []
        self._optimizer: Optimizer | None = None

    def _build(self, seed: int) -> Recognizer:
        network = Recognizer(self.spec)
        naming.load_tensors(network, initial_tensors(self.spec, seed))
        if self.execution.sync_batch_norm:
            synchronize(network)
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
        self._program = None
        naming.load_tensors(self.network, tensors)

    def dump_tensors(self) -> Tensors:
        """Copy weights out under canonical names."""
        return naming.dump_tensors(self.network)

    # Training

    def prepare_training(self, plan: OptimizationPlan) -> None:
        """Make the optimizer, with zero momentum, and freeze what the plan does not train."""
        layers = {name: module for name, _, module in naming.layers(self.network)}
        self._frozen = [layers[name] for name in sorted(plan.frozen_norms)]
        self._loss = loss(plan.loss)
        parameters = naming.parameters(self.network)
        for name, parameter in parameters.items():
            parameter.stop_gradient = name not in plan.parameters
        trained = {name: parameters[name] for name in plan.parameters}
        self._optimizer = Optimizer(trained, plan, self.execution.precision == "fp16", self._ranks)

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
        optimizer.zero_gradients()
        self._training_mode()
        total = paddle.zeros([])
        for batch in batches:
            batch_loss = self._training_loss(batch) / len(batches)
            optimizer.backward(batch_loss)
            total += batch_loss.detach()
        gradient_norm = optimizer.step(lr)
        self._average_statistics()
        return StepResult(float(self._ranks.mean(total)), gradient_norm)

    def gradients(self, batch: MicroBatch) -> tuple[float, Tensors]:
        """Loss and unclipped gradients of a training-mode pass on this rank; changes running statistics."""
        self.network.clear_gradients(set_to_zero=False)
        self._training_mode()
        batch_loss = self._training_loss(batch)
        batch_loss.backward()
        gradients = {
            name: naming.to_canonical(parameter.grad)
            for name, parameter in naming.parameters(self.network).items()
            if parameter.grad is not None
        }
        self.network.clear_gradients(set_to_zero=False)
        return float(batch_loss), gradients

    def _prepared(self) -> Optimizer:
        if self._optimizer is None:
            raise TrainingError("the session has no optimizer yet; call prepare_training first")
        return self._optimizer

    def _training_mode(self) -> None:
        self._program = None
        self.network.train()
        for norm in self._frozen:
            norm.eval()

    def _training_loss(self, batch: MicroBatch) -> Tensor:
        with self._mixed_precision():
            logits = self.network(paddle.to_tensor(batch.clips), *self._draws(batch.draws))
        return self._loss(logits, paddle.to_tensor(batch.targets)) * batch.weight

    def _draws(self, draws: Draws) -> tuple[Tensor | None, list[Tensor] | None]:
        """Dropout factors and relations, as `Recognizer.forward` takes them."""
        dropout = None if draws.dropout is None else paddle.to_tensor(draws.dropout)
        return dropout, [paddle.to_tensor(table) for table in draws.relations] or None

    @paddle.no_grad()
    def _average_statistics(self) -> None:
        if self.world_size > 1:
            statistics = naming.statistics(self.network)
            for tensor, mean in zip(statistics, self._ranks.means(statistics), strict=True):
                paddle.assign(mean, tensor)

    # Prediction

    @paddle.no_grad()
    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Evaluation mode: (N, T, C, H, W) float32 to (N, K) float32 logits.

        Raises:
            RecipeError: a head with `sampled` relations gets none.
        """
        if relations is None and self.spec.head.consensus != "average" and self.spec.head.relations == "sampled":
            raise RecipeError("head.relations: 'sampled' needs relations drawn by the caller; or choose 'expected'")
        self.network.eval()
        tables = [paddle.to_tensor(table) for table in relations or ()] or None
        with self._mixed_precision():
            if self.execution.compile and tables is None:
                logits = self._compiled()(paddle.to_tensor(clips))
            else:
                logits = self.network(paddle.to_tensor(clips), None, tables)
        return logits.astype("float32").numpy()

    def _compiled(self) -> Program:
        if self._program is None:
            self._program = compile_network(self.network, self.execution.device)
        return self._program

    @paddle.no_grad()
    def features(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """Evaluation-mode activations by name, frames explicit: (N, T', ...) and (N, K) for `logits`.

        Args:
            clips: (N, T, C, H, W).
            layers: modules of the backbone (`layer1`, `features.3`, `inception_3a`), `pooled` or `logits`.

        Raises:
            RecipeError: the network has no such layer.
        """
        found: Tensors = {}

        def keep(name: str, output: Tensor) -> None:
            array = output.astype("float32").numpy()
            found[name] = array if name == "logits" else array.reshape(len(clips), -1, *array.shape[1:])

        self.network.eval()
        hooks = [
            self._layer(name).register_forward_post_hook(lambda _, __, output, name=name: keep(name, output))
            for name in layers
        ]
        try:
            with self._mixed_precision():
                self.network(paddle.to_tensor(clips))
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def _layer(self, name: str) -> nn.Layer:
        if name in ("pooled", "logits"):
            return self.network.backbone if name == "pooled" else self.network.head
        modules = dict(self.network.backbone.named_sublayers())
        if name not in modules:
            known = ", ".join(child for child, _ in self.network.backbone.named_children())
            raise RecipeError(f"layer {name!r} is unknown; among others there are {known}, pooled, logits")
        return modules[name]

    def _mixed_precision(self) -> AbstractContextManager[None]:
        if self.execution.precision == "fp32":
            return nullcontext()
        return paddle.amp.auto_cast(dtype=_DTYPES[self.execution.precision])

    # Streaming

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Shifted block to the shape (C // div, H', W') of what a stream keeps of it."""
        return state_shapes(self.spec, height, width)

    @paddle.no_grad()
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
            state = tuple(paddle.to_tensor(buffer) for buffer in zero_state(self.spec, frames.shape))
        if self._stepper is None:
            self._stepper = StreamingRecognizer(self.network)
        self._stepper.eval()
        with self._mixed_precision():
            logits, *present = self._stepper(paddle.to_tensor(frames), state)
        return logits.astype("float32").numpy(), tuple(present)

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
