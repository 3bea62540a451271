"""Export of recognizers to MINDIR and ONNX files; opening of MINDIR files.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from trishift.backends.contract import Execution
from trishift.backends.mindspore.device import select_device
from trishift.backends.mindspore.motion import MotionExcitation, MotionPyramid
from trishift.backends.mindspore.recognizer import Recognizer
from trishift.backends.mindspore.streaming import StreamingRecognizer
from trishift.backends.program import ProgramSpec
from trishift.model.spec import InputSpec

_FORMATS = {"mindir": "MINDIR", "onnx": "ONNX"}
_DTYPES = {"float32": mstype.float32, "uint8": mstype.uint8}


class PixelRecognizer(nn.Cell):
    """Wraps a network with input preprocessing and an output softmax, or sigmoid for multi-label models.

    It maps uint8 RGB frames to probabilities.
    """

    def __init__(self, network: nn.Cell, pixels: InputSpec, multi_label: bool) -> None:
        super().__init__()
        self.network = network
        self.multi_label = multi_label
        self.order = Tensor([0, 1, 2] if pixels.channel_order == "rgb" else [2, 1, 0], mstype.int32)
        std = np.array(pixels.std, np.float32)[:, None, None]
        self.scale = Tensor(np.float32(pixels.scale) / std)
        self.offset = Tensor(np.array(pixels.mean, np.float32)[:, None, None] / std)

    def construct(self, frames: Tensor, *state: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, T, H, W, 3), or (N, H, W, 3) with the state of a stream, to (N, K) and the new state."""
        pixels = ops.gather(frames.astype(mstype.float32), self.order, -1).movedim(-1, -3)
        outputs = self.network(pixels * self.scale - self.offset, *state)
        if isinstance(outputs, tuple):
            return self.probabilities(outputs[0]), *outputs[1:]
        return self.probabilities(outputs)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over classes, or a sigmoid per class for multi-label models."""
        return ops.sigmoid(logits) if self.multi_label else ops.softmax(logits, -1)


class _ExplicitPool(nn.Cell):
    """A pool with explicit padding, which every exporter supports.

    MindSpore's own padded pools run in 3-D: their operators have no ONNX equivalent, and squeezing the extra axis loses
    the rank of a tensor with a free batch axis. Averages count the padding zeros. Maxima must ignore the padding:
    rectified features are padded with zeros, others by repeating their border, which is in every such window anyway.
    """

    def __init__(
        self, pool: nn.MaxPool2d | nn.AvgPool2d, padding: tuple[int, int], rounds_up: bool, rectified: bool
    ) -> None:
        super().__init__()
        operator = ops.MaxPool if isinstance(pool, nn.MaxPool2d) else ops.AvgPool
        self.pool = operator(pool.kernel_size, pool.stride, "valid")
        self.kernel, self.stride = _pair(pool.kernel_size), _pair(pool.stride)
        self.padding = padding
        self.rounds_up = rounds_up
        self.repeats_border = isinstance(pool, nn.MaxPool2d) and not rectified

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, C, H', W')."""
        sides = []
        for axis in range(2):
            before = self.padding[axis]
            rest = (self.kernel[axis] - x.shape[2 + axis] - 2 * before) % self.stride[axis]
            sides.append((before, before + rest if self.rounds_up else before))
        if self.repeats_border:
            return self.pool(_repeat_border(_repeat_border(x, 2, sides[0]), 3, sides[1]))
        return self.pool(ops.Pad(((0, 0), (0, 0), sides[0], sides[1]))(x))


def _repeat_border(x: Tensor, axis: int, sides: tuple[int, int]) -> Tensor:
    """Pad with copies of the first and last row (axis 2) or column (axis 3)."""
    first, last = (x[:, :, :1], x[:, :, -1:]) if axis == 2 else (x[:, :, :, :1], x[:, :, :, -1:])
    return ops.concat((first,) * sides[0] + (x,) + (last,) * sides[1], axis)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _replace_pools(network: nn.Cell) -> None:
    """Replace the padded pools of a network with exportable ones."""
    for _, cell in list(network.cells_and_names()):
        for name, child in list(cell.name_cells().items()):
            if isinstance(child, nn.MaxPool2d) and child.use_pad:
                padding, rounds_up = child.padding[1:], bool(child.max_pool.ceil_mode)
            elif isinstance(child, nn.AvgPool2d) and child.is_expand:
                padding, rounds_up = child.avg_pool.pad_list[2::2], bool(child.avg_pool.ceil_mode)
            else:
                continue
            rectified = not isinstance(cell, MotionPyramid | MotionExcitation)
            setattr(cell, name, _ExplicitPool(child, tuple(padding), rounds_up, rectified))


class _PaddedConv(nn.Cell):
    """A convolution after a layer that pads its input.

    MindSpore writes a convolution's padding as (top, bottom, left, right), but ONNX reads (top, left, bottom, right).
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        top, bottom, left, right = conv.padding
        self.pad = ops.Pad(((0, 0), (0, 0), (top, bottom), (left, right)))
        conv.conv2d = ops.Conv2D(
            conv.out_channels, conv.kernel_size, 1, "valid", 0, conv.stride, conv.dilation, conv.group
        )
        self.conv = conv

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H', W')."""
        return self.conv(self.pad(x))


def _replace_uneven_convs(network: nn.Cell) -> None:
    """Give the convolutions that pad rows and columns differently a layer for their padding."""
    for _, cell in list(network.cells_and_names()):
        for name, child in list(cell.name_cells().items()):
            if isinstance(child, nn.Conv2d) and isinstance(child.padding, tuple) and len(set(child.padding)) > 1:
                names = [(parameter, parameter.name) for parameter in child.get_parameters()]
                setattr(cell, name, _PaddedConv(child))
                for parameter, own_name in names:  # the new cell renamed them, and graphs refuse equal names
                    parameter.name = own_name


def deployable(network: Recognizer, spec: ProgramSpec) -> nn.Cell:
    """A cell with the inputs and outputs of `spec` that shares the network's weights; replaces its pools."""
    _replace_pools(network)
    cell = StreamingRecognizer(network) if spec.streaming else network
    return (PixelRecognizer(cell, spec.pixels, spec.model.multi_label) if spec.pixels else cell).set_train(False)


def write_program(
    network: Recognizer, spec: ProgramSpec, format_name: str, path: Path, description: dict[str, str], opset: int
) -> None:
    """Write a network in a deployment format.

    Args:
        network: its padded pools, and for ONNX its unevenly padded convolutions, are replaced with exportable ones.
        spec: inputs and outputs.
        format_name: `mindir` or `onnx`, for which `spec.batch` must be a number.
        path: the file.
        description: not used: neither format can store it.
        opset: not used: MindSpore chooses it.
    """
    inputs = [Tensor(shape=list(port.shape), dtype=_DTYPES[port.dtype]) for port in spec.inputs]
    if spec.batch is not None:
        inputs = [Tensor(port.example(spec.batch)) for port in spec.inputs]
    if format_name == "onnx":
        _replace_uneven_convs(network)
    mindspore.export(deployable(network, spec), *inputs, file_name=str(path), file_format=_FORMATS[format_name])
    path.chmod(0o644)  # MindSpore writes it read-only


class Program:
    """A MINDIR graph."""

    def __init__(self, path: Path, spec: ProgramSpec, execution: Execution) -> None:
        select_device(execution)
        self._graph = nn.GraphCell(mindspore.load(str(path)))

    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """Run the program; inputs and outputs are in the order of the `ProgramSpec`."""
        outputs = self._graph(*(Tensor(np.ascontiguousarray(array)) for array in inputs))
        return [output.asnumpy() for output in ((outputs,) if isinstance(outputs, Tensor) else outputs)]
