"""A network's tensors by canonical name, and copies of them from and to numpy arrays.

PyTorch's shapes and statistics are the canonical ones, so nothing is transposed here. Batch norms' counters
(`num_batches_tracked`) are left out: nothing reads them when the momentum is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from trishift.backends.pytorch.recognizer import Recognizer
from trishift.model.layers import Kind
from trishift.model.tensors import tensor_table


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are where `torch.nn.init` would fill them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def undrawn() -> Iterator[None]:
    """Build networks without the framework's own draws of weights; every tensor must be written afterwards."""
    with _Undrawn():
        yield


def tensors(network: Recognizer) -> dict[str, torch.Tensor]:
    """Every tensor of a network by canonical name, in network order."""
    modules = dict(network.named_modules())
    return {info.name: getattr(modules[info.module], info.role) for info in tensor_table(network.spec)}


def layers(network: Recognizer) -> Iterator[tuple[str, Kind, nn.Module]]:
    """Canonical name, type and module of every layer that owns tensors, in network order."""
    modules = dict(network.named_modules())
    for info in tensor_table(network.spec):
        if info.role == "weight":
            yield info.layer_name, info.layer, modules[info.module]


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A float32 copy in C order on the host, whatever the tensor's device, type and memory format."""
    return np.array(tensor.detach().float().cpu().numpy(), order="C")


def read(tensor: torch.Tensor) -> np.ndarray:
    """A float32 copy on the host of a network's tensor, or of its gradient or buffer, in canonical shape."""
    return to_numpy(tensor)


def clone(tensor: torch.Tensor) -> torch.Tensor:
    """A copy on the device."""
    return tensor.detach().clone()


def write(tensor: torch.Tensor, array: np.ndarray) -> None:
    """Copy a canonical array into a network's tensor, or into its buffer, in place."""
    assign(tensor, torch.from_numpy(np.ascontiguousarray(array)))


@torch.no_grad()
def assign(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """Copy a tensor into another, in place."""
    tensor.copy_(value)


def normalize(pixels: torch.Tensor, factors: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """uint8 pixels * factors - offsets in float32, see `model.pixels`."""
    return (pixels * factors).sub_(offsets)


def hits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Share of clips whose best class in (N, K) is the target (N,), or the mean of its targets (N, K)."""
    best = logits.argmax(1)
    found = best == targets if targets.ndim == 1 else targets.gather(1, best[:, None])
    return found.float().mean()


@torch.no_grad()
def blend(tensor: torch.Tensor, value: torch.Tensor, share: float) -> None:
    """Move a tensor towards another by a share of their difference, in place."""
    tensor.add_(value - tensor, alpha=share)
