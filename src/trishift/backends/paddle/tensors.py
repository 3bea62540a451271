"""A network's tensors by canonical name, and copies of them from and to numpy arrays.

Two of Paddle's conventions end here: a linear layer keeps its matrix as (in, out), the transpose of the canonical
(PyTorch's) one, and a batch norm calls its running statistics `_mean` and `_variance`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import Tensor, nn

from trishift.backends.paddle.recognizer import Recognizer
from trishift.model.layers import Kind
from trishift.model.tensors import Role, tensor_table

_STATISTICS: dict[Role, str] = {"running_mean": "_mean", "running_var": "_variance"}


@contextmanager
def undrawn() -> Iterator[None]:
    """Build networks without the framework's own draws of weights; every tensor must be written afterwards."""
    zeros = nn.initializer.Constant(0.0)
    nn.initializer.set_global_initializer(zeros, zeros)
    try:
        yield
    finally:
        nn.initializer.set_global_initializer(None)


def tensors(network: Recognizer) -> dict[str, Tensor]:
    """Every tensor of a network by canonical name, in network order."""
    modules = dict(network.named_sublayers())
    return {
        info.name: getattr(modules[info.module], _STATISTICS.get(info.role, info.role))
        for info in tensor_table(network.spec)
    }


def layers(network: Recognizer) -> Iterator[tuple[str, Kind, nn.Layer]]:
    """Canonical name, type and module of every layer that owns tensors, in network order."""
    modules = dict(network.named_sublayers())
    for info in tensor_table(network.spec):
        if info.role == "weight":
            yield info.layer_name, info.layer, modules[info.module]


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A float32 copy in C order on the host, whatever the tensor's device and type."""
    return np.array(tensor.detach().astype("float32").numpy(), order="C")


def read(tensor: Tensor) -> np.ndarray:
    """A float32 copy on the host of a network's tensor, or of its gradient or buffer, in canonical shape."""
    return np.ascontiguousarray(_transposed(to_numpy(tensor)))


def clone(tensor: Tensor) -> Tensor:
    """A copy on the device."""
    return tensor.detach().clone()


def write(tensor: Tensor, array: np.ndarray) -> None:
    """Copy a canonical array into a network's tensor, or into its buffer, in place."""
    assign(tensor, paddle.to_tensor(np.ascontiguousarray(_transposed(np.asarray(array, np.float32)))))


@paddle.no_grad()
def assign(tensor: Tensor, value: Tensor) -> None:
    """Copy a tensor into another, in place."""
    paddle.assign(value, tensor)


def normalize(pixels: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """uint8 pixels * factors - offsets in float32, see `model.pixels`."""
    return pixels.astype("float32") * factors - offsets


def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of clips whose best class in (N, K) is the target (N,), or the mean of its targets (N, K)."""
    best = logits.argmax(1)
    found = best == targets if targets.ndim == 1 else paddle.take_along_axis(targets, best.unsqueeze(1), 1)
    return found.astype("float32").mean()


@paddle.no_grad()
def blend(tensor: Tensor, value: Tensor, share: float) -> None:
    """Move a tensor towards another by a share of their difference, in place."""
    tensor.add_((value - tensor) * share)


def _transposed(array: np.ndarray) -> np.ndarray:
    """The transpose of a matrix, which is the weight of a linear layer; other arrays as is."""
    return array.T if array.ndim == 2 else array
