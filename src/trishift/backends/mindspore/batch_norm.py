"""Batch norm with PyTorch's statistics, freezing and synchronization.

MindSpore's differences are handled only here.
"""

from __future__ import annotations

from collections.abc import Iterable

from mindspore import nn

_TORCH_MOMENTUM = 0.1  # new = (1 - momentum) * old + momentum * batch; MindSpore calls (1 - momentum) momentum
_EPSILON = 1e-5


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm of (N, C, H, W) with PyTorch's defaults; MindSpore's running variance is unbiased, too."""
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=1 - _TORCH_MOMENTUM)


def train(network: nn.Cell, frozen: Iterable[nn.Cell]) -> None:
    """Enter training mode, except for frozen norms, which use their running statistics without updating them."""
    network.set_train(True)  # recursive: `set_train(False)` on a single norm would not last
    chosen = {id(norm) for norm in frozen}
    for _, cell in network.cells_and_names():
        if isinstance(cell, nn.BatchNorm2d | nn.SyncBatchNorm):
            cell.use_batch_statistics = False if id(cell) in chosen else None


def synchronize(network: nn.Cell) -> None:
    """Replace every batch norm of a network with a synchronized one (Ascend only) that shares its tensors."""
    for _, cell in list(network.cells_and_names()):
        for name, child in list(cell.name_cells().items()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(cell, name, _synchronized(child))


def _synchronized(norm: nn.BatchNorm2d) -> nn.SyncBatchNorm:
    layer = nn.SyncBatchNorm(norm.num_features, eps=_EPSILON, momentum=1 - _TORCH_MOMENTUM)
    for tensor in ("gamma", "beta", "moving_mean", "moving_variance"):
        setattr(layer, tensor, getattr(norm, tensor))
    return layer
