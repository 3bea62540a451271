"""Export of recognizers to torch.export programs and ONNX files; opening of torch.export programs.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export.passes import move_to_device_pass

from trishift.backends.contract import Execution
from trishift.backends.program import ProgramSpec
from trishift.backends.pytorch import tensors as naming
from trishift.backends.pytorch.device import select_device
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.backends.pytorch.streaming import StreamingRecognizer
from trishift.backends.pytorch.temporal_shift import temporal_shift
from trishift.errors import FrameworkError
from trishift.model.folding import SplitConv, split_convs
from trishift.model.spec import InputSpec

_EXAMPLE_BATCH = 2  # 0 and 1 would become constants of the traced program


class PixelRecognizer(nn.Module):
    """Wraps a network with input preprocessing and an output softmax, or sigmoid for multi-label models.

    It maps uint8 RGB frames to probabilities.
    """

    order: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, pixels: InputSpec, multi_label: bool) -> None:
        super().__init__()
        self.network = network
        self.multi_label = multi_label
        order = [0, 1, 2] if pixels.channel_order == "rgb" else [2, 1, 0]
        std = torch.tensor(pixels.std)
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("scale", (pixels.scale / std)[:, None, None], persistent=False)
        self.register_buffer("offset", (torch.tensor(pixels.mean) / std)[:, None, None], persistent=False)

    def forward(self, frames: Tensor, *state: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, T, H, W, 3), or (N, H, W, 3) with the state of a stream, to (N, K) and the new state."""
        x = frames.index_select(-1, self.order).movedim(-1, -3).float() * self.scale - self.offset
        outputs = self.network(x, *state)
        if isinstance(outputs, Tensor):
            return self.probabilities(outputs)
        return self.probabilities(outputs[0]), *outputs[1:]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over classes, or a sigmoid per class for multi-label models."""
        return logits.sigmoid() if self.multi_label else logits.softmax(-1)


class _SplitConv(nn.Module):
    """A 1x1 convolution with its norm and the shift before it, see `model.folding.SplitConv`."""

    def __init__(self, entry: SplitConv, segments: int) -> None:
        super().__init__()
        self.segments, self.shift = segments, entry.shift
        channels, features, *_ = entry.staying.shape
        self.staying = nn.Conv2d(features, channels, 1)
        self.moving = nn.Conv2d(entry.moving.shape[1], channels, 1, bias=False)
        assert self.staying.bias is not None
        naming.write(self.staying.weight, entry.staying)
        naming.write(self.staying.bias, entry.folded.bias)
        naming.write(self.moving.weight, entry.moving)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H, W)."""
        moved = temporal_shift(x[:, : self.moving.in_channels], self.segments, self.shift)
        return self.staying(x) + self.moving(moved)


def _split_shifts(network: Recognizer) -> Recognizer:
    """A copy of a network that copies only the features that move: runtimes copy shifted ones several times."""
    split = copy.deepcopy(network)
    weights = {name: naming.read(tensor) for name, tensor in naming.tensors(network).items()}
    for entry in split_convs(network.spec, weights):
        shift: Any = split.get_submodule(entry.shift_path)
        _put(split, entry.folded.conv.module, _SplitConv(entry, shift.segments))
        for path in (entry.folded.norm.module, entry.shift_path):
            _put(split, path, nn.Identity())
    return split


def _put(network: nn.Module, path: str, module: nn.Module) -> None:
    """Replace the module at a path."""
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, module)


def deployable(network: Recognizer, spec: ProgramSpec) -> nn.Module:
    """A module with the inputs and outputs of `spec` and the network's present weights."""
    module = StreamingRecognizer(network) if spec.streaming else _split_shifts(network)
    return (PixelRecognizer(module, spec.pixels, spec.model.multi_label) if spec.pixels else module).eval()


def write_program(
    network: Recognizer, spec: ProgramSpec, format_name: str, path: Path, description: dict[str, str], opset: int
) -> None:
    """Write a network in a deployment format.

    Args:
        network: on the CPU.
        spec: inputs and outputs.
        format_name: `torch` or `onnx`.
        path: the file.
        description: texts by name, stored in a `torch` file.
        opset: operator-set version of an `onnx` file.

    Raises:
        FrameworkError: torch cannot write this opset.
    """
    if format_name == "onnx":
        _check_opset(opset)
    program = _trace(deployable(network, spec), spec)
    if format_name == "torch":
        content = BytesIO()  # on a full disk, torch would end the process
        with _quiet():
            torch.export.save(program, content, extra_files=description)
        path.write_bytes(content.getbuffer())
    else:
        _write_onnx(program, spec, path, opset)


def _trace(module: nn.Module, spec: ProgramSpec) -> torch.export.ExportedProgram:
    examples = tuple(torch.from_numpy(port.example(_EXAMPLE_BATCH)) for port in spec.inputs)
    free = {0: torch.export.Dim("batch")}
    state = (free,) * (len(examples) - 1)
    shapes = (free, state) if state else (free,)  # `*state` is one argument, or none
    with torch.no_grad():
        return torch.export.export(module, examples, dynamic_shapes=shapes, strict=False)


def _check_opset(opset: int) -> None:
    """Refuse sets that no operator has, before the network is traced and translated for seconds."""
    from onnx.defs import onnx_opset_version

    if opset > onnx_opset_version():
        raise _cannot_write(opset)


def _cannot_write(opset: int) -> FrameworkError:
    return FrameworkError(f"opset {opset}: torch cannot write it; omit --opset for the default")


def _write_onnx(program: torch.export.ExportedProgram, spec: ProgramSpec, path: Path, opset: int) -> None:
    with _quiet():
        written = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=[port.name for port in spec.inputs],
            output_names=[port.name for port in spec.outputs],
            verbose=False,
        )
    assert written is not None
    if written.model.opset_imports[""] != opset:  # torch keeps its own opset where it cannot convert
        raise _cannot_write(opset)
    for node in written.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces, with the paths of this machine
    written.save(path, external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' warnings, such as those about missing optional packages."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Program:
    """A torch.export program."""

    def __init__(self, path: Path, spec: ProgramSpec, execution: Execution) -> None:
        self._device = select_device(execution)
        program = torch.export.load(path)
        self._module = move_to_device_pass(program, self._device).module()

    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """Run the program; inputs and outputs are in the order of the `ProgramSpec`."""
        tensors = [torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in inputs]
        with torch.no_grad():
            outputs = self._module(*tensors)
        return [output.cpu().numpy() for output in ((outputs,) if isinstance(outputs, Tensor) else outputs)]
