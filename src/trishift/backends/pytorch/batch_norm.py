"""Batch norm with the originals' defaults, freezing and synchronization."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm of (N, C, H, W); PyTorch's defaults are the originals'."""
    return nn.BatchNorm2d(channels)


def train(network: nn.Module, frozen: Iterable[nn.Module]) -> None:
    """Enter training mode, except for frozen norms, which use their running statistics without updating them."""
    network.train()
    for norm in frozen:
        norm.eval()


def synchronize(network: nn.Module) -> None:
    """Replace every batch norm of a network with a synchronized one (GPU only) that shares its tensors."""
    nn.SyncBatchNorm.convert_sync_batchnorm(network)
