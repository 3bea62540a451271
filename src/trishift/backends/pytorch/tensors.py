"""A network's tensors by canonical name, and copies of them in and out as numpy arrays.

PyTorch's shapes and statistics are the canonical ones, so nothing is transposed here. Batch norms' counters
(`num_batches_tracked`) are left out: with a fixed momentum nothing reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from trishift.backends.contract import check_tensors
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.model.tensors import Layer, Tensors, tensor_shapes, tensor_table


def tensors(network: Recognizer) -> dict[str, Any]:
    """Every tensor of a network by canonical name, in network order."""
    modules = dict(network.named_modules())
    return {info.name: getattr(modules[info.module], info.role) for info in tensor_table(network.spec)}


def layers(network: Recognizer) -> Iterator[tuple[str, Layer, nn.Module]]:
    """Canonical name, type and module of every layer that owns tensors, in network order."""
    modules = dict(network.named_modules())
    for info in tensor_table(network.spec):
        if info.role == "weight":
            yield info.layer_name, info.layer, modules[info.module]


def parameters(network: Recognizer) -> dict[str, nn.Parameter]:
    """Every trainable tensor by canonical name."""
    found = tensors(network)
    return {info.name: found[info.name] for info in tensor_table(network.spec) if info.trainable}


def statistics(network: Recognizer) -> list[torch.Tensor]:
    """The running means and variances of all batch norms."""
    found = tensors(network)
    return [found[info.name] for info in tensor_table(network.spec) if not info.trainable]


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A float32 copy in C order on the host, whatever the tensor's device, type and memory format."""
    return np.array(tensor.detach().float().cpu().numpy(), order="C")


def dump_tensors(network: Recognizer) -> Tensors:
    """Copies of all tensors under canonical names."""
    return {name: to_numpy(tensor) for name, tensor in tensors(network).items()}


@torch.no_grad()
def load_tensors(network: Recognizer, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into a network; names and shapes must be exactly those of the table.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; the network is then untouched.
    """
    check_tensors(arrays, tensor_shapes(network.spec))
    for name, tensor in tensors(network).items():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])))
