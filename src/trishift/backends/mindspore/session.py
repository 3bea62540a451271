"""The MindSpore part of a session; see `backends.session`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from trishift.backends import session as base
from trishift.backends.contract import Device, Execution, Handle, MicroBatch, OptimizationPlan, State
from trishift.backends.fast_forms import FastForm
from trishift.backends.mindspore import batch_norm
from trishift.backends.mindspore import tensors as naming
from trishift.backends.mindspore.compiled import Pass
from trishift.backends.mindspore.copies import Copies
from trishift.backends.mindspore.device import find_device, select_device
from trishift.backends.mindspore.distributed import Ranks
from trishift.backends.mindspore.exporting import Program, write_program
from trishift.backends.mindspore.fused import compiled_form, fuse
from trishift.backends.mindspore.losses import guided_loss
from trishift.backends.mindspore.optimizer import Optimizer, make_optimizer
from trishift.backends.mindspore.recognizer import Recognizer
from trishift.backends.mindspore.streaming import StreamingRecognizer
from trishift.backends.program import ProgramSpec
from trishift.model.losses import GuideSpec, LossSpec

_DTYPES = {"bf16": mstype.bfloat16, "fp16": mstype.float16}


class Session(base.Session):
    """See `backends.session.Session`.

    Training and prediction run as graphs, compiled once per batch shape: immediately, never or once it pays off
    (`Execution.compile`). `Execution.channels_last` has no effect: MindSpore has no memory formats.
    """

    framework = "mindspore"
    _access = naming

    @classmethod
    def join(cls, execution: Execution) -> Ranks:
        """See `backends.session.Session`."""
        select_device(execution)  # before tensors are exchanged
        return Ranks(execution.distributed, execution.device)

    def _select(self, ranks: base.Ranks) -> None:
        self._uploads = Copies(select_device(self.execution))

    def _build(self) -> Recognizer:
        network = Recognizer(self.spec)
        if self.execution.sync_batch_norm:
            batch_norm.synchronize(network)
        if self.execution.precision != "fp32":
            _mix_precision(network, _DTYPES[self.execution.precision])
        self._frozen: list[nn.Cell] = []
        self._sums: dict[str, Tensor] = {}
        tensors = naming.tensors(network)
        self._trained = {info.name: tensors[info.name] for info in self.parameters()}
        self._train = self._training_pass(network, LossSpec(), GuideSpec())
        self._outputs = self._output_pass(network)
        self._run = self._evaluation_pass(network)
        self._run_step: Pass | None = None
        return network

    def _device_memory(self) -> int:
        return int(mindspore.runtime.max_memory_allocated())

    # Training

    def _prepare(self, plan: OptimizationPlan) -> Optimizer:
        layers = {name: cell for name, _, cell in naming.layers(self.network)}
        self._frozen = [layers[name] for name in sorted(plan.frozen_norms)]
        parameters = naming.tensors(self.network)
        self._trained = {name: parameters[name] for name in plan.parameters}
        self._train = self._training_pass(self.network, plan.loss, plan.guide)
        self._outputs = self._output_pass(self.network)
        return make_optimizer(self._trained, plan)

    def _training_pass(self, network: Recognizer, spec: LossSpec, guidance: GuideSpec) -> Pass:
        """A function of clips, targets, draws and a factor: the loss times the factor and `hits`, and its gradients."""
        criterion = guided_loss(spec, guidance)

        def training_loss(
            clips: Tensor,
            targets: Tensor,
            guide: Tensor | None,
            dropout: Tensor | None,
            relations: tuple[Tensor, ...] | None,
            survival: Tensor | None,
            factor: Tensor,
        ) -> tuple[Tensor, Tensor]:
            logits = network(clips, dropout, relations, survival)
            return criterion(logits, targets, guide) * factor, naming.hits(logits, targets)

        gradients = mindspore.value_and_grad(training_loss, None, list(self._trained.values()), has_aux=True)
        return Pass(gradients, self.execution.compile)

    def _output_pass(self, network: Recognizer) -> Pass:
        """A function of clips and draws: the logits in training."""

        def logits(
            clips: Tensor, dropout: Tensor | None, relations: tuple[Tensor, ...] | None, survival: Tensor | None
        ) -> Tensor:
            return network(clips, dropout, relations, survival).float()

        return Pass(logits, self.execution.compile)

    def _train_mode(self) -> None:
        batch_norm.train(self.network, self._frozen)

    def _zero_gradients(self) -> None:
        self._sums = {}

    def _backward(self, batch: MicroBatch, scale: float) -> tuple[Tensor, Tensor]:
        factor = Tensor(batch.weight * scale, mstype.float32)
        (batch_loss, hits), gradients = self._train(*self._inputs(batch), factor)
        named = zip(self._trained, gradients, strict=True)
        self._sums = {name: self._sums[name] + value if self._sums else value for name, value in named}
        return batch_loss / scale, hits

    def _forward(self, batch: MicroBatch) -> Tensor:
        clips, _, _, *draws = self._inputs(batch)
        return self._outputs(clips, *draws)

    def _gradients(self) -> dict[str, Tensor]:
        return self._sums

    # Prediction

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        self.network.set_train(False)
        yield

    def _logits(self, clips: np.ndarray, relations: base.Relations) -> np.ndarray:
        filled = clips if self.execution.compile is False else self._filled(clips)
        return naming.to_numpy(self._run(self._clips(filled), relations))[: len(clips)]

    def _evaluation_pass(self, network: Recognizer) -> Pass:
        """A function of (clips, relations): the logits."""

        def logits(clips: Tensor, relations: tuple[Tensor, ...] | None) -> Tensor:  # graphs cannot be lambdas
            return network(clips, None, relations)

        return Pass(logits, self.execution.compile)

    def _head_gradients(self, features: Tensor, chosen: Tensor, relations: base.Relations) -> Tensor:
        self.network.set_train(False)

        def total(features: Tensor) -> Tensor:
            return (self.network.head(features, relations) * chosen).sum()

        return mindspore.grad(total)(features)

    def _make(self, form: FastForm, streaming: bool, layers: Sequence[str]) -> Callable[..., Any]:
        if form.name == "compiled":
            return compiled_form(self.network, streaming)
        return fuse(self.network, streaming, self.execution.precision, self.execution.device, layers)

    def _layers(self) -> Mapping[str, nn.Cell]:
        return dict(self.network.backbone.cells_and_names())

    def _watch(self, layer: nn.Cell, callback: Callable[[Tensor], None]) -> Handle:
        return layer.register_forward_hook(lambda _, __, output: callback(output))

    def _next(self, frames: Tensor, state: State) -> tuple[Tensor, ...]:
        if self._run_step is None:
            network = StreamingRecognizer(self.network)

            def step(frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
                return network(frames, *state)

            self._run_step = Pass(step, self.execution.compile)
        return self._run_step(frames, *state)

    # Export

    def write_program(
        self, spec: ProgramSpec, format_name: str, path: Path, description: dict[str, str], opset: int
    ) -> None:
        """Write the network as `mindir` or `onnx`, see `exporting.write_program`."""
        write_program(self.network, spec, format_name, path, description, opset)

    @staticmethod
    def find_device() -> Device:
        """The best device that this framework finds here."""
        return find_device()

    @staticmethod
    def open_program(path: Path, spec: ProgramSpec, execution: Execution) -> Program:
        """Open a `mindir` graph."""
        return Program(path, spec, execution)


def _mix_precision(network: Recognizer, dtype: mstype.Type) -> None:
    """Run convolutions in another type; norms, heads and weights stay float32.

    `amp.auto_mixed_precision` is not used: it wraps cells in other cells, which changes their paths.
    """
    for _, layer, cell in naming.layers(network):
        cell.to_float(dtype if layer == "conv" else mstype.float32)
