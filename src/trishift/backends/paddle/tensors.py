"""A network's tensors by canonical name, and copies of them in and out as numpy arrays.

Two of Paddle's habits end here: a linear layer keeps its matrix as (in, out), the transpose of the canonical
(PyTorch's) one, and a batch norm calls its running statistics `_mean` and `_variance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import paddle
from paddle import Tensor, nn

from trishift.backends.contract import check_tensors
from trishift.backends.paddle.recognizer import Recognizer
from trishift.model.tensors import Layer, Role, Tensors, tensor_shapes, tensor_table

_STATISTICS: dict[Role, str] = {"running_mean": "_mean", "running_var": "_variance"}


def tensors(network: Recognizer) -> dict[str, Tensor]:
    """Every tensor of a network by canonical name, in network order."""
    modules = dict(network.named_sublayers())
    return {
        info.name: getattr(modules[info.module], _STATISTICS.get(info.role, info.role))
        for info in tensor_table(network.spec)
    }


def layers(network: Recognizer) -> Iterator[tuple[str, Layer, nn.Layer]]:
    """Canonical name, type and module of every layer that owns tensors, in network order."""
    modules = dict(network.named_sublayers())
    for info in tensor_table(network.spec):
        if info.role == "weight":
            yield info.layer_name, info.layer, modules[info.module]


def parameters(network: Recognizer) -> dict[str, Tensor]:
    """Every trainable tensor by canonical name."""
    found = tensors(network)
    return {info.name: found[info.name] for info in tensor_table(network.spec) if info.trainable}


def statistics(network: Recognizer) -> list[Tensor]:
    """The running means and variances of all batch norms."""
    found = tensors(network)
    return [found[info.name] for info in tensor_table(network.spec) if not info.trainable]


def to_canonical(tensor: Tensor) -> np.ndarray:
    """A float32 copy on the host of a network's tensor, or of its gradient or momentum, in canonical shape."""
    return _transposed(tensor.detach().astype("float32").numpy()).copy(order="C")


def from_canonical(array: np.ndarray) -> np.ndarray:
    """A canonical array laid out as Paddle keeps it."""
    return np.ascontiguousarray(_transposed(np.asarray(array, np.float32)))


def _transposed(array: np.ndarray) -> np.ndarray:
    """The transpose of a matrix, which is the weight of a linear layer; other arrays as they are."""
    return array.T if array.ndim == 2 else array


def dump_tensors(network: Recognizer) -> Tensors:
    """Copies of all tensors under canonical names."""
    return {name: to_canonical(tensor) for name, tensor in tensors(network).items()}


@paddle.no_grad()
def load_tensors(network: Recognizer, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into a network; names and shapes must be exactly those of the table.

    `set_state_dict` is not used: it skips what does not fit and goes on.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; the network is then untouched.
    """
    check_tensors(arrays, tensor_shapes(network.spec))
    for name, tensor in tensors(network).items():
        tensor.set_value(from_canonical(arrays[name]))
