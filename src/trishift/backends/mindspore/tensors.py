"""A network's tensors by canonical name, and copies of them from and to numpy arrays.

MindSpore's shapes are the canonical (PyTorch's) ones; only the batch norms' attributes have other names. A tensor is
looked up by the path of its cell, not by `Parameter.name`, which depends on the order in which cells were nested.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import Initializer

from trishift.backends.mindspore.recognizer import Recognizer
from trishift.model.layers import Kind
from trishift.model.tensors import Role, TensorInfo, tensor_table

_NORM_ATTRIBUTES: dict[Role, str] = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


@contextmanager
def undrawn() -> Iterator[None]:
    """Build networks without the framework's own draws of weights; every tensor must be written afterwards."""
    draw = Initializer.__call__
    Initializer.__call__ = _fill_with_zeros  # `no_init_parameters` would leave tensors that `ops.assign` cannot fill
    try:
        yield
    finally:
        Initializer.__call__ = draw


def _fill_with_zeros(_: Initializer, array: np.ndarray) -> None:
    array.fill(0)


def tensors(network: Recognizer) -> dict[str, Tensor]:
    """Every tensor of a network by canonical name, in network order."""
    cells = dict(network.cells_and_names())
    return {info.name: getattr(cells[info.module], _attribute(info)) for info in tensor_table(network.spec)}


def _attribute(info: TensorInfo) -> str:
    return _NORM_ATTRIBUTES[info.role] if info.layer == "norm" else info.role


def layers(network: Recognizer) -> Iterator[tuple[str, Kind, nn.Cell]]:
    """Canonical name, type and cell of every layer that owns tensors, in network order."""
    cells = dict(network.cells_and_names())
    for info in tensor_table(network.spec):
        if info.role == "weight":
            yield info.layer_name, info.layer, cells[info.module]


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A float32 copy in C order on the host, whatever the tensor's type."""
    return np.array(tensor.astype(mstype.float32).asnumpy(), order="C")


def read(tensor: Tensor) -> np.ndarray:
    """A float32 copy on the host of a network's tensor, or of its gradient or buffer, in canonical shape."""
    return to_numpy(tensor)


def clone(tensor: Tensor) -> Tensor:
    """A copy on the device."""
    return Parameter(tensor.copy(), requires_grad=False)


def write(tensor: Tensor, array: np.ndarray) -> None:
    """Copy a canonical array into a network's tensor, or into its buffer, in place."""
    assign(tensor, Tensor(np.array(array, np.float32, order="C")))


def assign(tensor: Tensor, value: Tensor) -> None:
    """Copy a tensor into another, in place.

    Not `set_data`: it gives the parameter new memory, and graphs compiled before would keep reading the old one.
    """
    ops.assign(tensor, value)


def normalize(pixels: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """uint8 pixels * factors - offsets in float32, see `model.pixels`."""
    return pixels.astype(mstype.float32) * factors - offsets


def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of clips whose best class in (N, K) is the target (N,), or the mean of its targets (N, K)."""
    best = logits.argmax(1)
    found = best == targets if targets.ndim == 1 else ops.gather_elements(targets, 1, best.expand_dims(1))
    return found.astype(mstype.float32).mean()


def blend(tensor: Tensor, value: Tensor, share: float) -> None:
    """Move a tensor towards another by a share of their difference, in place."""
    assign(tensor, tensor + (value - tensor) * share)
