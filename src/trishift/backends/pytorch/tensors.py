"""Canonical names of a network's tensors, and copies of the tensors in and out as numpy arrays.

PyTorch's shapes and statistics are the canonical ones, so nothing is transposed here. Batch norms' counters
(`num_batches_tracked`) are left out: with a fixed momentum nothing reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trishift.backends.contract import check_tensors
from trishift.backends.pytorch.temporal_shift import LearnedShift
from trishift.model.architectures import canonical_layer_name
from trishift.model.tensors import ParameterInfo, Tensors

Layer = Literal["conv", "linear", "norm"]
Role = Literal["weight", "bias", "running_mean", "running_var"]

_ROLES: dict[Layer, tuple[Role, ...]] = {
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "norm": ("weight", "bias", "running_mean", "running_var"),
}


@dataclass(frozen=True)
class Slot:
    """One tensor of a network: where a canonical array goes."""

    name: str
    layer: Layer
    role: Role
    tensor: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Canonical shape."""
        return tuple(self.tensor.shape)

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change it (running statistics it may not)."""
        return self.role in ("weight", "bias")


def _layer_of(module: nn.Module) -> Layer | None:
    if isinstance(module, nn.Conv2d | nn.Conv3d | LearnedShift):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    return "norm" if isinstance(module, _BatchNorm) else None


def layers(network: nn.Module) -> Iterator[tuple[str, Layer, nn.Module]]:
    """Canonical name, type and module of every layer that owns tensors, in network order."""
    for path, module in network.named_modules():
        layer = _layer_of(module)
        if layer is not None:
            yield canonical_layer_name(path), layer, module


def slots(network: nn.Module) -> Iterator[Slot]:
    """Every tensor of a network in network order."""
    for name, layer, module in layers(network):
        for role in _ROLES[layer]:
            tensor = getattr(module, role, None)
            if tensor is not None:
                yield Slot(f"{name}.{role}", layer, role, tensor)


def parameter_infos(network: nn.Module) -> tuple[ParameterInfo, ...]:
    """Every trainable tensor in network order."""
    return tuple(
        ParameterInfo(slot.name, slot.layer, "weight" if slot.role == "weight" else "bias", slot.shape)
        for slot in slots(network)
        if slot.trainable
    )


def parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Every trainable tensor by canonical name."""
    return {slot.name: slot.tensor for slot in slots(network) if isinstance(slot.tensor, nn.Parameter)}


def statistics(network: nn.Module) -> list[torch.Tensor]:
    """The running means and variances of all batch norms."""
    return [slot.tensor for slot in slots(network) if not slot.trainable]


def tensor_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Canonical name to canonical shape of every tensor in network order."""
    return {slot.name: slot.shape for slot in slots(network)}


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A float32 copy in C order on the host, whatever the tensor's device, type and memory format."""
    return np.array(tensor.detach().float().cpu().numpy(), order="C")


def dump_tensors(network: nn.Module) -> Tensors:
    """Copies of all tensors under canonical names."""
    return {slot.name: to_numpy(slot.tensor) for slot in slots(network)}


@torch.no_grad()
def load_tensors(network: nn.Module, tensors: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into a network; names and shapes must be exactly those of `tensor_shapes`.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; the network is then untouched.
    """
    check_tensors(tensors, tensor_shapes(network))
    for slot in slots(network):
        slot.tensor.copy_(torch.from_numpy(np.ascontiguousarray(tensors[slot.name])))
