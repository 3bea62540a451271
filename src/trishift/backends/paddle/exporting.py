"""Export of recognizers to Paddle Inference programs; opening of such programs.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

import copy
import errno
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, inference, nn
from paddle.jit.dy2static.convert_call_func import BUILTIN_LIKELY_MODULES  # to undo `paddle.jit.ignore_module`
from paddle.static import InputSpec as PortSpec

from trishift.backends import matrix_library
from trishift.backends.contract import Execution
from trishift.backends.paddle import tensors as naming
from trishift.backends.paddle.device import select_device
from trishift.backends.paddle.recognizer import Recognizer
from trishift.backends.paddle.streaming import StreamingRecognizer
from trishift.backends.paddle.temporal_shift import temporal_shift
from trishift.backends.program import ProgramSpec
from trishift.model.folding import SplitConv, split_convs
from trishift.model.spec import InputSpec

PREFIX = "inference"  # of the files in an exported folder
_FULL = 2**16  # bytes on a disk that count as none
_GPU_MEMORY = 256  # MiB allocated at the start


class PixelRecognizer(nn.Layer):
    """Wraps a network with input preprocessing and an output softmax, or sigmoid for multi-label models.

    It maps uint8 RGB frames to probabilities.
    """

    def __init__(self, network: nn.Layer, pixels: InputSpec, multi_label: bool) -> None:
        super().__init__()
        self.network = network
        self.multi_label = multi_label
        order = [0, 1, 2] if pixels.channel_order == "rgb" else [2, 1, 0]
        std = np.array(pixels.std, np.float32)[:, None, None]
        scale, offset = np.float32(pixels.scale) / std, np.array(pixels.mean, np.float32)[:, None, None] / std
        self.register_buffer("order", paddle.to_tensor(order), persistable=False)
        self.register_buffer("scale", paddle.to_tensor(scale), persistable=False)
        self.register_buffer("offset", paddle.to_tensor(offset), persistable=False)

    def forward(self, frames: Tensor, *state: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, T, H, W, 3), or (N, H, W, 3) with the state of a stream, to (N, K) and the new state."""
        pixels = frames.astype("float32").index_select(self.order, axis=-1)
        x = pixels.moveaxis(-1, -3) * self.scale - self.offset
        if not state:
            return self.probabilities(self.network(x))
        logits, *present = self.network(x, *state)
        return self.probabilities(logits), *present

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over classes, or a sigmoid per class for multi-label models."""
        return F.sigmoid(logits) if self.multi_label else F.softmax(logits)


class _SplitConv(nn.Layer):
    """A 1x1 convolution with its norm and the shift before it, see `model.folding.SplitConv`."""

    def __init__(self, entry: SplitConv, segments: int) -> None:
        super().__init__()
        self.segments, self.shift = segments, entry.shift
        channels, features, *_ = entry.staying.shape
        self.moved = entry.moving.shape[1]
        self.staying = nn.Conv2D(features, channels, 1)
        self.moving = nn.Conv2D(self.moved, channels, 1, bias_attr=False)
        naming.write(self.staying.weight, entry.staying)
        naming.write(self.staying.bias, entry.folded.bias)
        naming.write(self.moving.weight, entry.moving)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H, W)."""
        moved = temporal_shift(x[:, : self.moved], self.segments, self.shift)
        return self.staying(x) + self.moving(moved)


def _split_shifts(network: Recognizer) -> Recognizer:
    """A copy of a network that copies only the features that move: runtimes copy shifted ones several times."""
    split = copy.deepcopy(network)
    layers = dict(split.named_sublayers())
    weights = {name: naming.read(tensor) for name, tensor in naming.tensors(network).items()}
    for entry in split_convs(network.spec, weights):
        _put(layers, entry.folded.conv.module, _SplitConv(entry, layers[entry.shift_path].segments))
        for path in (entry.folded.norm.module, entry.shift_path):
            _put(layers, path, nn.Identity())
    return split


def _put(layers: dict[str, nn.Layer], path: str, layer: nn.Layer) -> None:
    """Replace the layer at a path."""
    parent, _, name = path.rpartition(".")
    setattr(layers[parent], name, layer)


class _StateAsList(nn.Layer):
    """A streaming network with its state as one argument, since `to_static` does not support `*state`."""

    def __init__(self, network: nn.Layer) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run the network."""
        return self.network(frames, *state)


def deployable(network: Recognizer, spec: ProgramSpec) -> nn.Layer:
    """A layer with the inputs and outputs of `spec` and the network's present weights; the state is one input."""
    layer: nn.Layer = network
    if spec.streaming:
        layer = StreamingRecognizer(network)
    elif isinstance(network, Recognizer):  # a network whose layers are observed keeps them
        layer = _split_shifts(network)
    layer = PixelRecognizer(layer, spec.pixels, spec.model.multi_label) if spec.pixels else layer
    layer = _StateAsList(layer) if spec.streaming else layer
    layer.eval()
    return layer


@contextmanager
def _unchanged_code() -> Iterator[None]:
    """Trace the networks without rewriting their code, which would take most of the time.

    Only for as long as it takes: layers that are compiled for any size need the rewriting.
    """
    before = list(BUILTIN_LIKELY_MODULES)
    paddle.jit.ignore_module([module for name, module in sys.modules.items() if name.startswith(f"{__package__}.")])
    try:
        yield
    finally:
        BUILTIN_LIKELY_MODULES[:] = before


def write_program(
    network: Recognizer, spec: ProgramSpec, format_name: str, path: Path, description: dict[str, str], opset: int
) -> None:
    """Write a network in a deployment format.

    Args:
        network: on the CPU.
        spec: inputs and outputs.
        format_name: `paddle`.
        path: the folder to create, with `inference.json` (`inference.pdmodel` before Paddle 3) and
            `inference.pdiparams`.
        description: not used: the files cannot store it.
        opset: not used.

    Raises:
        OSError: the disk is full.
    """
    path.mkdir()
    first, *state = (PortSpec(list(port.shape), port.dtype, port.name) for port in spec.inputs)
    arguments = [first, state] if spec.streaming else [first]
    with _unchanged_code(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paddle.jit.save(deployable(network, spec), str(path / PREFIX), input_spec=arguments)
    if shutil.disk_usage(path).free < _FULL:  # Paddle writes what fits and says nothing
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


class Program:
    """A Paddle Inference program: batch norms folded, oneDNN kernels on the CPU."""

    def __init__(self, path: Path, spec: ProgramSpec, execution: Execution) -> None:
        select_device(execution)
        config = inference.Config(str(path), PREFIX)
        if execution.device == "gpu":
            config.enable_use_gpu(_GPU_MEMORY, 0)
        else:
            config.disable_gpu()
            config.enable_onednn()
            config.set_cpu_math_library_num_threads(matrix_library.threads())
        config.disable_glog_info()
        self._predictor = inference.create_predictor(config)

    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """Run the program; inputs and outputs are in the order of the `ProgramSpec`."""
        tensors = [paddle.to_tensor(np.ascontiguousarray(array)) for array in inputs]
        return [output.numpy() for output in self._predictor.run(tensors)]
