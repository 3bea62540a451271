"""Batch norm as PyTorch counts it; the one place that knows how MindSpore's differs."""

from __future__ import annotations

from mindspore import nn

TORCH_MOMENTUM = 0.1  # new = (1 - momentum) * old + momentum * batch; MindSpore's momentum is the other factor
EPSILON = 1e-5


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """`nn.BatchNorm2d` with PyTorch's defaults; its running variance follows the unbiased one as it is."""
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=1 - TORCH_MOMENTUM)


def freeze(norm: nn.BatchNorm2d, frozen: bool) -> None:
    """Run a norm on its running statistics, without updating them, in training, too; or make it a usual one again.

    `set_train(False)` on the norm would not last: `set_train` of the network reaches it.
    """
    norm.use_batch_statistics = False if frozen else None


def synchronize(network: nn.Cell) -> None:
    """Replace every batch norm of a network by a synchronized one (Ascend only) with the same tensors."""
    for _, cell in list(network.cells_and_names()):
        for name, child in list(cell.name_cells().items()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(cell, name, _synchronized(child))


def _synchronized(norm: nn.BatchNorm2d) -> nn.SyncBatchNorm:
    layer = nn.SyncBatchNorm(norm.num_features, eps=EPSILON, momentum=1 - TORCH_MOMENTUM)
    for tensor in ("gamma", "beta", "moving_mean", "moving_variance"):
        setattr(layer, tensor, getattr(norm, tensor))
    return layer
