"""Canonical names of a network's tensors, and copies of the tensors in and out as numpy arrays.

Two of Paddle's habits end here: a linear layer keeps its matrix as (in, out), the transpose of the canonical
(PyTorch's) one, and a batch norm calls its running statistics `_mean` and `_variance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import paddle
from paddle import Tensor, nn

from trishift.backends.contract import check_tensors
from trishift.backends.paddle.batch_norm import BatchNorm2D, SyncBatchNorm
from trishift.backends.paddle.temporal_shift import LearnedShift
from trishift.model.architectures import canonical_layer_name
from trishift.model.tensors import ParameterInfo, Tensors

Layer = Literal["conv", "linear", "norm"]
Role = Literal["weight", "bias", "running_mean", "running_var"]

_ATTRIBUTES: dict[Layer, dict[Role, str]] = {
    "conv": {"weight": "weight", "bias": "bias"},
    "linear": {"weight": "weight", "bias": "bias"},
    "norm": {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"},
}


@dataclass(frozen=True)
class Slot:
    """One tensor of a network: where a canonical array goes."""

    name: str
    layer: Layer
    role: Role
    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape."""
        shape = tuple(self.tensor.shape)
        return shape[::-1] if self.transposed else shape

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change it (running statistics it may not)."""
        return self.role in ("weight", "bias")

    @property
    def transposed(self) -> bool:
        """Whether Paddle keeps the transpose of the canonical matrix."""
        return self.layer == "linear" and self.role == "weight"

    def to_canonical(self, tensor: Tensor) -> np.ndarray:
        """A float32 copy on the host of this tensor, or of its gradient or momentum."""
        array = tensor.detach().astype("float32").numpy()
        return np.array(array.T if self.transposed else array, order="C")

    def from_canonical(self, array: np.ndarray) -> np.ndarray:
        """An array laid out as the tensor is."""
        array = np.asarray(array, np.float32)
        return np.ascontiguousarray(array.T if self.transposed else array)


def _layer_of(module: nn.Layer) -> Layer | None:
    if isinstance(module, nn.Conv2D | nn.Conv3D | LearnedShift):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    return "norm" if isinstance(module, (BatchNorm2D, SyncBatchNorm)) else None


def layers(network: nn.Layer) -> Iterator[tuple[str, Layer, nn.Layer]]:
    """Canonical name, type and module of every layer that owns tensors, in network order."""
    for path, module in network.named_sublayers():
        layer = _layer_of(module)
        if layer is not None:
            yield canonical_layer_name(path), layer, module


def slots(network: nn.Layer) -> Iterator[Slot]:
    """Every tensor of a network in network order."""
    for name, layer, module in layers(network):
        for role, attribute in _ATTRIBUTES[layer].items():
            tensor = getattr(module, attribute, None)
            if tensor is not None:
                yield Slot(f"{name}.{role}", layer, role, tensor)


def parameter_infos(network: nn.Layer) -> tuple[ParameterInfo, ...]:
    """Every trainable tensor in network order."""
    return tuple(
        ParameterInfo(slot.name, slot.layer, "weight" if slot.role == "weight" else "bias", slot.shape)
        for slot in slots(network)
        if slot.trainable
    )


def parameters(network: nn.Layer) -> dict[str, Slot]:
    """Every trainable tensor by canonical name."""
    return {slot.name: slot for slot in slots(network) if slot.trainable}


def statistics(network: nn.Layer) -> list[Tensor]:
    """The running means and variances of all batch norms."""
    return [slot.tensor for slot in slots(network) if not slot.trainable]


def tensor_shapes(network: nn.Layer) -> dict[str, tuple[int, ...]]:
    """Canonical name to canonical shape of every tensor in network order."""
    return {slot.name: slot.shape for slot in slots(network)}


def dump_tensors(network: nn.Layer) -> Tensors:
    """Copies of all tensors under canonical names."""
    return {slot.name: slot.to_canonical(slot.tensor) for slot in slots(network)}


@paddle.no_grad()
def load_tensors(network: nn.Layer, tensors: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into a network; names and shapes must be exactly those of `tensor_shapes`.

    `set_state_dict` is not used: it skips what does not fit and goes on.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; the network is then untouched.
    """
    check_tensors(tensors, tensor_shapes(network))
    for slot in slots(network):
        slot.tensor.set_value(slot.from_canonical(tensors[slot.name]))
