"""The PyTorch part of a session; see `backends.session`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trishift.backends import session as base
from trishift.backends.contract import Device, Execution, Handle, MicroBatch, OptimizationPlan, State
from trishift.backends.fast_forms import FastForm
from trishift.backends.program import ProgramSpec
from trishift.backends.pytorch import batch_norm
from trishift.backends.pytorch import tensors as naming
from trishift.backends.pytorch.compiled import Pass
from trishift.backends.pytorch.copies import Copies
from trishift.backends.pytorch.device import find_device, select_device
from trishift.backends.pytorch.distributed import Ranks
from trishift.backends.pytorch.exporting import Program, write_program
from trishift.backends.pytorch.fused import compiled_form, fuse
from trishift.backends.pytorch.kernels.folding import fold_frozen
from trishift.backends.pytorch.kernels.graphs import Replayed
from trishift.backends.pytorch.losses import guided_loss
from trishift.backends.pytorch.optimizer import Optimizer, make_optimizer
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.backends.pytorch.streaming import StreamingRecognizer
from trishift.model.losses import GuideSpec, LossSpec

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Session(base.Session):
    """See `backends.session.Session`."""

    framework = "pytorch"
    _access = naming

    @classmethod
    def join(cls, execution: Execution) -> Ranks:
        """See `backends.session.Session`."""
        return Ranks(execution.distributed, execution.device)

    def _select(self, ranks: base.Ranks) -> None:
        self._device = select_device(self.execution, ranks.local_rank)
        self._uploads = Copies(self._device)

    def _build(self) -> Recognizer:
        network = Recognizer(self.spec)
        if self.execution.sync_batch_norm:
            batch_norm.synchronize(network)
        network.to(self._device)
        if self._channels_last():
            for module in network.modules():
                if isinstance(module, nn.Conv2d):  # the format has no 3-D variant
                    module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        self._frozen: list[nn.Module] = []
        self._loss = guided_loss(LossSpec(), GuideSpec())
        self._run = Pass(network, self.execution.compile)
        self._run_step: Pass | None = None
        return network

    def _channels_last(self) -> bool:
        chosen = self.execution.channels_last
        if chosen is not None:
            return chosen
        return self.execution.device == "cpu" or self.execution.precision != "fp32"

    def _device_memory(self) -> int:
        return int(torch.cuda.max_memory_allocated())

    # Training

    def _prepare(self, plan: OptimizationPlan) -> Optimizer:
        layers = {name: module for name, _, module in naming.layers(self.network)}
        self._frozen = [layers[name] for name in sorted(plan.frozen_norms)]
        if self._folds_norms():
            fold_frozen(self.network, self.spec, self._frozen)
        self._loss = guided_loss(plan.loss, plan.guide)
        parameters = self._parameters()
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in plan.parameters)
        return make_optimizer({name: parameters[name] for name in plan.parameters}, plan)

    def _folds_norms(self) -> bool:
        """Whether convolutions do the work of frozen norms: it pays in float32, and compilers do it anyway."""
        chosen = self.execution
        return (chosen.device, chosen.precision) == ("cpu", "fp32") and not chosen.compile

    def _train_mode(self) -> None:
        batch_norm.train(self.network, self._frozen)

    def _zero_gradients(self) -> None:
        self.network.zero_grad(set_to_none=True)

    def _backward(self, batch: MicroBatch, scale: float) -> tuple[Tensor, Tensor]:
        clips, targets, guide, *draws = self._inputs(batch)
        with self._mixed_precision():
            logits = self._run(clips, *draws)
        batch_loss = self._loss(logits, targets, guide) * batch.weight
        (batch_loss * scale).backward()
        return batch_loss.detach(), naming.hits(logits.detach(), targets)

    def _forward(self, batch: MicroBatch) -> Tensor:
        clips, _, _, *draws = self._inputs(batch)
        with torch.no_grad(), self._mixed_precision():
            return self._run(clips, *draws).float()

    def _gradients(self) -> dict[str, Tensor]:
        return {name: tensor.grad for name, tensor in self._parameters().items() if tensor.grad is not None}

    def _parameters(self) -> dict[str, nn.Parameter]:
        tensors = naming.tensors(self.network)
        return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, nn.Parameter)}

    # Prediction

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        self.network.eval()
        with torch.inference_mode(), self._mixed_precision():
            yield

    def _mixed_precision(self) -> torch.autocast:
        dtype = _DTYPES.get(self.execution.precision)
        return torch.autocast(self._device.partition(":")[0], dtype, enabled=dtype is not None)

    def _logits(self, clips: np.ndarray, relations: base.Relations) -> np.ndarray:
        return naming.to_numpy(self._run(self._clips(clips), None, relations))

    def _head_gradients(self, features: Tensor, chosen: Tensor, relations: base.Relations) -> Tensor:
        self.network.eval()
        with torch.enable_grad():
            leaf = features.clone().requires_grad_()
            total = (self.network.head(leaf, relations) * chosen).sum()
        return torch.autograd.grad(total, leaf)[0]

    def _make(self, form: FastForm, streaming: bool, layers: Sequence[str]) -> Callable[..., Any]:
        if form.name == "compiled":
            made = compiled_form(self.network, streaming)
        else:
            made = fuse(self.network, streaming, self.execution.precision, self.execution.device, layers)
            if self.execution.device == "gpu":
                made = Replayed(made)
        return (lambda *inputs: _owned(made(*inputs))) if streaming else made

    def _layers(self) -> Mapping[str, nn.Module]:
        return dict(self.network.backbone.named_modules(remove_duplicate=False))

    def _watch(self, layer: nn.Module, callback: Callable[[Tensor], None]) -> Handle:
        return layer.register_forward_hook(lambda _, __, output: callback(output))

    def _next(self, frames: Tensor, state: State) -> list[Tensor]:
        if self._run_step is None:
            self._run_step = Pass(StreamingRecognizer(self.network).eval(), self.execution.compile)
        return _owned(self._run_step(frames, *state))

    # Export

    def write_program(
        self, spec: ProgramSpec, format_name: str, path: Path, description: dict[str, str], opset: int
    ) -> None:
        """Write the network as `torch` or `onnx`, see `exporting.write_program`."""
        write_program(self.network, spec, format_name, path, description, opset)

    @staticmethod
    def find_device() -> Device:
        """The best device that this framework finds here."""
        return find_device()

    @staticmethod
    def open_program(path: Path, spec: ProgramSpec, execution: Execution) -> Program:
        """Open a `torch` program."""
        return Program(path, spec, execution)


def _owned(outputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The outputs of a step, whose state would keep whole feature maps alive as views."""
    logits, *present = outputs
    return [logits, *(buffer.clone() for buffer in present)]
