"""A recogniser as a MINDIR or ONNX file, and MINDIR files opened again.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from trishift.backends.base import Execution
from trishift.backends.mindspore.recognizer import Recognizer
from trishift.backends.mindspore.session import select_device
from trishift.backends.mindspore.streaming import StreamingRecognizer
from trishift.backends.program import ProgramSpec
from trishift.spec import InputSpec

_FORMATS = {"mindir": "MINDIR", "onnx": "ONNX"}
_DTYPES = {"float32": mstype.float32, "uint8": mstype.uint8}


class PixelRecognizer(nn.Cell):
    """A network behind its preprocessing and in front of a softmax: uint8 RGB frames to probabilities."""

    def __init__(self, network: nn.Cell, pixels: InputSpec) -> None:
        super().__init__()
        self.network = network
        self.order = Tensor([0, 1, 2] if pixels.channel_order == "rgb" else [2, 1, 0], mstype.int32)
        std = np.array(pixels.std, np.float32)[:, None, None]
        self.scale = Tensor(np.float32(pixels.scale) / std)
        self.offset = Tensor(np.array(pixels.mean, np.float32)[:, None, None] / std)

    def construct(self, frames: Tensor, *state: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, T, H, W, 3), or (N, H, W, 3) with the state of a stream, to (N, K) and the new state."""
        pixels = ops.gather(frames.astype(mstype.float32), self.order, -1).movedim(-1, -3)
        outputs = self.network(pixels * self.scale - self.offset, *state)
        if isinstance(outputs, tuple):
            return ops.softmax(outputs[0], -1), *outputs[1:]
        return ops.softmax(outputs, -1)


class _RankKeepingPool(nn.Cell):
    """A padded pool whose output is known to be 4-D.

    MindSpore pools such frames in 3-D and squeezes the extra axis away again, which loses the rank of a tensor whose
    batch is open, and with it whatever comes next in the exported graph.
    """

    def __init__(self, pool: nn.Cell) -> None:
        super().__init__()
        self.pool = pool

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, C, H', W')."""
        pooled = self.pool(x.expand_dims(2))
        if isinstance(pooled, tuple):  # maxima and where they are
            pooled = pooled[0]
        return pooled[:, :, 0]


def keep_ranks(network: nn.Cell) -> None:
    """Replace the padded pools of a network by ones that can be exported with an open batch."""
    for _, cell in list(network.cells_and_names()):
        for name, child in list(cell.name_cells().items()):
            if isinstance(child, nn.MaxPool2d) and child.use_pad:
                setattr(cell, name, _RankKeepingPool(child.max_pool))
            elif isinstance(child, nn.AvgPool2d) and child.is_expand:
                setattr(cell, name, _RankKeepingPool(child.avg_pool))


def deployable(network: Recognizer, spec: ProgramSpec) -> nn.Cell:
    """The cell with the inputs and outputs of `spec`; it shares the network's weights and changes its pools."""
    if spec.batch is None:
        keep_ranks(network)
    cell = StreamingRecognizer(network) if spec.streaming else network
    return (PixelRecognizer(cell, spec.pixels) if spec.pixels else cell).set_train(False)


def write_program(
    network: Recognizer, spec: ProgramSpec, form: str, path: Path, description: dict[str, str], opset: int
) -> None:
    """Write a network.

    Args:
        network: its padded pools are replaced by ones that can be exported.
        spec: inputs and outputs.
        form: `mindir` or `onnx`, for which `spec.batch` must be a number.
        path: the file.
        description: not used, for neither file can keep it.
        opset: not used: MindSpore chooses it.
    """
    inputs = [Tensor(shape=list(port.shape), dtype=_DTYPES[port.dtype]) for port in spec.inputs]
    if spec.batch is not None:
        inputs = [Tensor(port.example(spec.batch)) for port in spec.inputs]
    mindspore.export(deployable(network, spec), *inputs, file_name=str(path), file_format=_FORMATS[form])
    path.chmod(0o644)  # it comes read-only


class Program:
    """A MINDIR graph."""

    def __init__(self, path: Path, spec: ProgramSpec, execution: Execution) -> None:
        select_device(execution)
        self._graph = nn.GraphCell(mindspore.load(str(path)))

    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """Outputs of inputs, in the order of the `ProgramSpec`."""
        outputs = self._graph(*(Tensor(np.ascontiguousarray(array)) for array in inputs))
        return [output.asnumpy() for output in ((outputs,) if isinstance(outputs, Tensor) else outputs)]
