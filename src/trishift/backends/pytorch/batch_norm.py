"""Batch norm with the originals' defaults, frozen where a plan says so, and synchronized."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Normalization of (N, C, H, W); PyTorch's defaults are the originals'."""
    return nn.BatchNorm2d(channels)


def train(network: nn.Module, frozen: Iterable[nn.Module]) -> None:
    """Training mode, but for the frozen norms, which run on their running statistics and leave them as they are."""
    network.train()
    for norm in frozen:
        norm.eval()


def synchronize(network: nn.Module) -> None:
    """Replace every batch norm of a network by a synchronized one (GPUs only) with the same tensors."""
    nn.SyncBatchNorm.convert_sync_batchnorm(network)
