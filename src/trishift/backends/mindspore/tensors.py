"""A network's tensors by canonical name, and copies of them in and out as numpy arrays.

MindSpore's shapes are the canonical (PyTorch's) ones; only the batch norms' attributes have other names. A tensor is
found by the path of its cell, never by `Parameter.name`, which depends on the order in which cells were put into one
another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from trishift.backends.contract import check_tensors
from trishift.backends.mindspore.recognizer import Recognizer
from trishift.model.tensors import Layer, Role, TensorInfo, Tensors, tensor_shapes, tensor_table

_NORM_ATTRIBUTES: dict[Role, str] = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def tensors(network: Recognizer) -> dict[str, Parameter]:
    """Every tensor of a network by canonical name, in network order."""
    cells = dict(network.cells_and_names())
    return {info.name: getattr(cells[info.module], _attribute(info)) for info in tensor_table(network.spec)}


def _attribute(info: TensorInfo) -> str:
    return _NORM_ATTRIBUTES[info.role] if info.layer == "norm" else info.role


def layers(network: Recognizer) -> Iterator[tuple[str, Layer, nn.Cell]]:
    """Canonical name, type and cell of every layer that owns tensors, in network order."""
    cells = dict(network.cells_and_names())
    for info in tensor_table(network.spec):
        if info.role == "weight":
            yield info.layer_name, info.layer, cells[info.module]


def parameters(network: Recognizer) -> dict[str, Parameter]:
    """Every trainable tensor by canonical name."""
    found = tensors(network)
    return {info.name: found[info.name] for info in tensor_table(network.spec) if info.trainable}


def statistics(network: Recognizer) -> list[Parameter]:
    """The running means and variances of all batch norms."""
    found = tensors(network)
    return [found[info.name] for info in tensor_table(network.spec) if not info.trainable]


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A float32 copy in C order on the host, whatever the tensor's type."""
    return np.array(tensor.astype(mstype.float32).asnumpy(), order="C")


def assign(parameter: Parameter, value: Tensor | np.ndarray | float) -> None:
    """Copy a value into a parameter where it lies.

    Not `set_data`: that gives the parameter new memory, and graphs compiled before go on with the old values.
    """
    value = value if isinstance(value, Tensor) else Tensor(np.array(value, np.float32, order="C"))
    ops.assign(parameter, value)


def dump_tensors(network: Recognizer) -> Tensors:
    """Copies of all tensors under canonical names."""
    return {name: to_numpy(tensor) for name, tensor in tensors(network).items()}


def load_tensors(network: Recognizer, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into a network; names and shapes must be exactly those of the table.

    `load_param_into_net` is not used: it skips what does not fit and goes on.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; the network is then untouched.
    """
    check_tensors(arrays, tensor_shapes(network.spec))
    for name, tensor in tensors(network).items():
        assign(tensor, arrays[name])
