"""Batch norm beyond what the network's layers do by themselves: frozen and synchronized."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def train(network: nn.Module, frozen: Iterable[nn.Module]) -> None:
    """Training mode, but for the frozen norms, which run on their running statistics and leave them as they are."""
    network.train()
    for norm in frozen:
        norm.eval()


def synchronize(network: nn.Module) -> nn.Module:
    """The network with batch statistics over all ranks (GPUs only) and the same tensors."""
    synchronized: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return synchronized
