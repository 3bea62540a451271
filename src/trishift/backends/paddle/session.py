"""The Paddle part of a session; see `backends.session`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from trishift.backends import session as base
from trishift.backends.contract import Device, Execution, Handle, MicroBatch, OptimizationPlan, State
from trishift.backends.fast_forms import FastForm
from trishift.backends.paddle import batch_norm
from trishift.backends.paddle import tensors as naming
from trishift.backends.paddle.compiled import Pass
from trishift.backends.paddle.copies import Copies
from trishift.backends.paddle.device import find_device, select_device
from trishift.backends.paddle.distributed import Ranks
from trishift.backends.paddle.exporting import Program, write_program
from trishift.backends.paddle.fused import compiled_form, fuse
from trishift.backends.paddle.losses import guided_loss
from trishift.backends.paddle.optimizer import Optimizer, make_optimizer
from trishift.backends.paddle.recognizer import Recognizer
from trishift.backends.paddle.streaming import StreamingRecognizer
from trishift.backends.program import ProgramSpec
from trishift.model.losses import GuideSpec, LossSpec

_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


class Session(base.Session):
    """See `backends.session.Session`. `Execution.channels_last` has no effect: Paddle has no memory formats."""

    framework = "paddle"
    _access = naming

    @classmethod
    def join(cls, execution: Execution) -> Ranks:
        """See `backends.session.Session`."""
        return Ranks(execution.distributed, execution.device)

    def _select(self, ranks: base.Ranks) -> None:
        self._uploads = Copies(select_device(self.execution, ranks.local_rank))

    def _build(self) -> Recognizer:
        network = Recognizer(self.spec)
        if self.execution.sync_batch_norm:
            batch_norm.synchronize(network)
        self._frozen: list[nn.Layer] = []
        self._loss = guided_loss(LossSpec(), GuideSpec())
        self._run: Pass | None = None  # compiled on demand, dropped when weights change
        self._stepper: StreamingRecognizer | None = None
        return network

    def _on_weights_change(self) -> None:
        super()._on_weights_change()
        self._run = None

    def _device_memory(self) -> int:
        return int(paddle.device.cuda.max_memory_allocated())

    # Training

    def _prepare(self, plan: OptimizationPlan) -> Optimizer:
        layers = {name: module for name, _, module in naming.layers(self.network)}
        self._frozen = [layers[name] for name in sorted(plan.frozen_norms)]
        self._loss = guided_loss(plan.loss, plan.guide)
        parameters = self._parameters()
        for name, parameter in parameters.items():
            parameter.stop_gradient = name not in plan.parameters
        return make_optimizer({name: parameters[name] for name in plan.parameters}, plan)

    def _train_mode(self) -> None:
        batch_norm.train(self.network, self._frozen)

    def _zero_gradients(self) -> None:
        self.network.clear_gradients(set_to_zero=False)

    def _backward(self, batch: MicroBatch, scale: float) -> tuple[Tensor, Tensor]:
        clips, targets, guide, *draws = self._inputs(batch)
        with self._mixed_precision():
            logits = self.network(clips, *draws)
        batch_loss = self._loss(logits, targets, guide) * batch.weight
        (batch_loss * scale).backward()
        return batch_loss.detach(), naming.hits(logits.detach(), targets)

    def _forward(self, batch: MicroBatch) -> Tensor:
        clips, _, _, *draws = self._inputs(batch)
        with paddle.no_grad(), self._mixed_precision():
            return self.network(clips, *draws).astype("float32")

    def _gradients(self) -> dict[str, Tensor]:
        return {name: tensor.grad for name, tensor in self._parameters().items() if tensor.grad is not None}

    def _parameters(self) -> dict[str, Tensor]:
        tensors = naming.tensors(self.network)
        return {info.name: tensors[info.name] for info in self.parameters()}

    # Prediction

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        self.network.eval()
        with paddle.no_grad(), self._mixed_precision():
            yield

    def _mixed_precision(self) -> AbstractContextManager[None]:
        if self.execution.precision == "fp32":
            return nullcontext()
        return paddle.amp.auto_cast(dtype=_DTYPES[self.execution.precision])

    def _logits(self, clips: np.ndarray, relations: base.Relations) -> np.ndarray:
        if self._run is None:
            self._run = Pass(self.network, self.execution.compile)
        arguments = (self._clips(clips),) if relations is None else (self._clips(clips), None, relations)
        return naming.to_numpy(self._run(*arguments))

    def _head_gradients(self, features: Tensor, chosen: Tensor, relations: base.Relations) -> Tensor:
        self.network.eval()
        features.stop_gradient = False
        total = (self.network.head(features, relations) * chosen).sum()
        return paddle.grad(total, features)[0]

    def _make(self, form: FastForm, streaming: bool, layers: Sequence[str]) -> Callable[..., Any]:
        if form.name == "compiled":
            return compiled_form(self.network, streaming)
        return fuse(self.network, streaming, self.execution.precision, self.execution.device, layers)

    def _layers(self) -> Mapping[str, nn.Layer]:
        return dict(self.network.backbone.named_sublayers())

    def _watch(self, layer: nn.Layer, callback: Callable[[Tensor], None]) -> Handle:
        return layer.register_forward_post_hook(lambda _, __, output: callback(output))

    def _next(self, frames: Tensor, state: State) -> tuple[Tensor, ...]:
        if self._stepper is None:
            self._stepper = StreamingRecognizer(self.network)
        self._stepper.eval()
        return self._stepper(frames, *state)

    # Export

    def write_program(
        self, spec: ProgramSpec, format_name: str, path: Path, description: dict[str, str], opset: int
    ) -> None:
        """Write the network as `paddle`, see `exporting.write_program`."""
        write_program(self.network, spec, format_name, path, description, opset)

    @staticmethod
    def find_device() -> Device:
        """The best device that this framework finds here."""
        return find_device()

    @staticmethod
    def open_program(path: Path, spec: ProgramSpec, execution: Execution) -> Program:
        """Open a `paddle` program."""
        return Program(path, spec, execution)
