"""A recognizer in PyTorch, ready to train or predict: the backend protocol of `backends.base`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, State, StepResult
from trishift.backends.pytorch import batch_norm
from trishift.backends.pytorch import tensors as naming
from trishift.backends.pytorch.compiled import compile_network
from trishift.backends.pytorch.device import select_device
from trishift.backends.pytorch.distributed import Ranks
from trishift.backends.pytorch.losses import loss
from trishift.backends.pytorch.optimizer import Optimizer
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.backends.pytorch.streaming import StreamingRecognizer
from trishift.errors import RecipeError, TrainingError
from trishift.model.initialization import initial_tensors
from trishift.model.losses import LossSpec
from trishift.model.online import state_shapes, zero_state
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, parameters, tensor_shapes

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Session:
    """A network, its optimizer and its place among the ranks.

    Attributes:
        network: the `Recognizer`, never compiled nor wrapped.
    """

    framework = "pytorch"

    def __init__(self, spec: ModelSpec, execution: Execution, seed: int = 0) -> None:
        self.spec = spec
        self.execution = execution
        self._ranks = Ranks(execution.distributed, execution.device)
        self._device = select_device(execution, self._ranks.local_rank)
        self.network = self._build(seed)
        self._model = compile_network(self.network, execution.compile)
        self._parallel: nn.Module = self._model
        self._stepper: nn.Module | None = None
        self._loss = loss(LossSpec())
        self._frozen: list[nn.Module] = []
        self._optimizer: Optimizer | None = None

    def _build(self, seed: int) -> Recognizer:
        network = Recognizer(self.spec)
        naming.load_tensors(network, initial_tensors(self.spec, seed))
        if self.execution.sync_batch_norm:
            network = batch_norm.synchronize(network)
        network.to(self._device)
        if self.execution.channels_last:
            for module in network.modules():
                if isinstance(module, nn.Conv2d):  # 3-D convolutions cannot be told
                    module.to(memory_format=torch.channels_last)
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
        layers = {name: module for name, _, module in naming.layers(self.network)}
        self._frozen = [layers[name] for name in sorted(plan.frozen_norms)]
        self._loss = loss(plan.loss)
        parameters = naming.parameters(self.network)
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in plan.parameters)
        trained = {name: parameters[name] for name in plan.parameters}
        self._optimizer = Optimizer(trained, plan, loss_scaling=self.execution.precision == "fp16")
        if self.world_size > 1:
            devices = [self._device] if self._device.type == "cuda" else None
            self._parallel = DistributedDataParallel(self._model, devices, broadcast_buffers=False)

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
        batch_norm.train(self.network, self._frozen)
        total = torch.zeros((), device=self._device)
        for position, batch in enumerate(batches, 1):
            with self._gradient_exchange(position == len(batches)):
                batch_loss = self._training_loss(batch, self._parallel) / len(batches)
                optimizer.backward(batch_loss)
            total += batch_loss.detach()
        gradient_norm = optimizer.step(lr)
        self._ranks.average_(naming.statistics(self.network))
        return StepResult(float(self._ranks.mean(total)), gradient_norm)

    def gradients(self, batch: MicroBatch) -> tuple[float, Tensors]:
        """Loss and unclipped gradients of a training-mode pass on this rank; changes running statistics."""
        self.network.zero_grad(set_to_none=True)
        batch_norm.train(self.network, self._frozen)
        batch_loss = self._training_loss(batch, self._model)
        batch_loss.backward()
        gradients = {
            name: naming.to_numpy(parameter.grad)
            for name, parameter in naming.parameters(self.network).items()
            if parameter.grad is not None
        }
        self.network.zero_grad(set_to_none=True)
        return float(batch_loss.detach()), gradients

    def _prepared(self) -> Optimizer:
        if self._optimizer is None:
            raise TrainingError("the session has no optimizer yet; call prepare_training first")
        return self._optimizer

    def _training_loss(self, batch: MicroBatch, model: nn.Module) -> Tensor:
        with self._mixed_precision():
            logits = model(self._tensor(batch.clips), *self._draws(batch.draws))
        return self._loss(logits, self._tensor(batch.targets)) * batch.weight

    def _draws(self, draws: Draws) -> tuple[Tensor | None, list[Tensor] | None]:
        """Dropout factors and relations, as `Recognizer.forward` takes them."""
        dropout = None if draws.dropout is None else self._tensor(draws.dropout)
        return dropout, [self._tensor(table) for table in draws.relations] or None

    def _gradient_exchange(self, wanted: bool) -> AbstractContextManager[None]:
        """Gradients cross the ranks with the last micro-batch only."""
        if isinstance(self._parallel, DistributedDataParallel) and not wanted:
            return self._parallel.no_sync()
        return nullcontext()

    # Prediction

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Evaluation mode: (N, T, C, H, W) float32 to (N, K) float32 logits.

        Raises:
            RecipeError: a head with `sampled` relations gets none.
        """
        if relations is None and self.spec.head.consensus != "average" and self.spec.head.relations == "sampled":
            raise RecipeError("head.relations: 'sampled' needs relations drawn by the caller; or choose 'expected'")
        self.network.eval()
        tables = [self._tensor(table) for table in relations or ()] or None
        with torch.inference_mode(), self._mixed_precision():
            return naming.to_numpy(self._model(self._tensor(clips), None, tables))

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
            found[name] = naming.to_numpy(output if name == "logits" else output.unflatten(0, (len(clips), -1)))

        self.network.eval()
        hooks = [
            self._layer(name).register_forward_hook(lambda _, __, output, name=name: keep(name, output))
            for name in layers
        ]
        try:
            with torch.inference_mode(), self._mixed_precision():
                self.network(self._tensor(clips))
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def _layer(self, name: str) -> nn.Module:
        if name in ("pooled", "logits"):
            return self.network.backbone if name == "pooled" else self.network.head
        try:
            return self.network.backbone.get_submodule(name)
        except AttributeError as error:
            known = ", ".join(child for child, _ in self.network.backbone.named_children())
            raise RecipeError(f"layer {name!r} is unknown; among others there are {known}, pooled, logits") from error

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device, non_blocking=True)

    def _mixed_precision(self) -> AbstractContextManager[None]:
        dtype = _DTYPES[self.execution.precision]
        return torch.autocast(self._device.type, dtype, enabled=self.execution.precision != "fp32")

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
            state = tuple(self._tensor(buffer) for buffer in zero_state(self.spec, frames.shape))
        stepper = self._streaming()
        with torch.inference_mode(), self._mixed_precision():
            logits, *present = stepper(self._tensor(frames), *state)
            present = [buffer.clone() for buffer in present]  # views would keep whole feature maps alive
        return naming.to_numpy(logits), tuple(present)

    def _streaming(self) -> nn.Module:
        if self._stepper is None:
            network = StreamingRecognizer(self.network)
            self._stepper = compile_network(network, self.execution.compile)
        return self._stepper.eval()

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
