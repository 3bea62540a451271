"""Canonical names of a network's tensors, and copies of the tensors in and out as numpy arrays.

MindSpore's shapes are the canonical (PyTorch's) ones; only the batch norms' attributes have other names. Names
come from a walk through the cells and the layers' types, never from `Parameter.name`, which depends on the order
in which cells were put into one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from trishift.backends.contract import check_tensors
from trishift.backends.mindspore.temporal_shift import LearnedShift
from trishift.model.architectures import canonical_layer_name
from trishift.model.tensors import ParameterInfo, Tensors

Layer = Literal["conv", "linear", "norm"]
Role = Literal["weight", "bias", "running_mean", "running_var"]

_ATTRIBUTES: dict[Layer, dict[Role, str]] = {
    "conv": {"weight": "weight", "bias": "bias"},
    "linear": {"weight": "weight", "bias": "bias"},
    "norm": {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
}


@dataclass(frozen=True)
class Slot:
    """One tensor of a network: where a canonical array goes."""

    name: str
    layer: Layer
    role: Role
    tensor: Parameter

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape."""
        return tuple(self.tensor.shape)

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change it (running statistics it may not)."""
        return self.role in ("weight", "bias")


def _layer_of(cell: nn.Cell) -> Layer | None:
    if isinstance(cell, nn.Conv2d | nn.Conv3d | LearnedShift):
        return "conv"
    if isinstance(cell, nn.Dense):
        return "linear"
    return "norm" if isinstance(cell, (nn.BatchNorm2d, nn.SyncBatchNorm)) else None


def layers(network: nn.Cell) -> Iterator[tuple[str, Layer, nn.Cell]]:
    """Canonical name, type and cell of every layer that owns tensors, in network order."""
    for path, cell in network.cells_and_names():
        layer = _layer_of(cell)
        if layer is not None:
            yield canonical_layer_name(path), layer, cell


def slots(network: nn.Cell) -> Iterator[Slot]:
    """Every tensor of a network in network order."""
    for name, layer, cell in layers(network):
        for role, attribute in _ATTRIBUTES[layer].items():
            tensor = getattr(cell, attribute, None)
            if tensor is not None:
                yield Slot(f"{name}.{role}", layer, role, tensor)


def parameter_infos(network: nn.Cell) -> tuple[ParameterInfo, ...]:
    """Every trainable tensor in network order."""
    return tuple(
        ParameterInfo(slot.name, slot.layer, "weight" if slot.role == "weight" else "bias", slot.shape)
        for slot in slots(network)
        if slot.trainable
    )


def parameters(network: nn.Cell) -> dict[str, Parameter]:
    """Every trainable tensor by canonical name."""
    return {slot.name: slot.tensor for slot in slots(network) if slot.trainable}


def statistics(network: nn.Cell) -> list[Parameter]:
    """The running means and variances of all batch norms."""
    return [slot.tensor for slot in slots(network) if not slot.trainable]


def tensor_shapes(network: nn.Cell) -> dict[str, tuple[int, ...]]:
    """Canonical name to canonical shape of every tensor in network order."""
    return {slot.name: slot.shape for slot in slots(network)}


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A float32 copy in C order on the host, whatever the tensor's type."""
    return np.array(tensor.astype(mstype.float32).asnumpy(), order="C")


def assign(parameter: Parameter, value: Tensor | np.ndarray | float) -> None:
    """Copy a value into a parameter where it lies.

    Not `set_data`: that gives the parameter new memory, and graphs compiled before go on with the old values.
    """
    value = value if isinstance(value, Tensor) else Tensor(np.array(value, np.float32, order="C"))
    ops.assign(parameter, value)


def dump_tensors(network: nn.Cell) -> Tensors:
    """Copies of all tensors under canonical names."""
    return {slot.name: to_numpy(slot.tensor) for slot in slots(network)}


def load_tensors(network: nn.Cell, tensors: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into a network; names and shapes must be exactly those of `tensor_shapes`.

    `load_param_into_net` is not used: it skips what does not fit and goes on.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; the network is then untouched.
    """
    check_tensors(tensors, tensor_shapes(network))
    for slot in slots(network):
        assign(slot.tensor, tensors[slot.name])
