"""Batch norm as PyTorch counts it; the one place that knows how Paddle's differs."""

from __future__ import annotations

import math

import paddle
from paddle import Tensor, nn
from paddle.distributed import get_world_size

TORCH_MOMENTUM = 0.1  # new = (1 - momentum) * old + momentum * batch; Paddle's momentum is the other factor
EPSILON = 1e-5


class _UnbiasedVariance(nn.Layer):
    """Makes the running variance follow the unbiased batch variance, n / (n - 1) times the one Paddle takes.

    The old value is scaled by (n - 1) / n before Paddle's update and the sum by n / (n - 1) after it, so that only
    the new part is corrected. Normalisation itself uses the biased variance in both frameworks.
    """

    ranks = 1

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in and out."""
        if not self.training:
            return super().forward(x)
        values = self.ranks * x.shape[0] * math.prod(x.shape[2:])
        correction = values / max(values - 1, 1)
        with paddle.no_grad():
            self._variance.scale_(1 / correction)
        y = super().forward(x)
        with paddle.no_grad():
            self._variance.scale_(correction)
        return y


class BatchNorm2D(_UnbiasedVariance, nn.BatchNorm2D):
    """`nn.BatchNorm2D` with PyTorch's defaults and running variance."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=1 - TORCH_MOMENTUM, epsilon=EPSILON)


class SyncBatchNorm(_UnbiasedVariance, nn.SyncBatchNorm):
    """`BatchNorm2D` with batch statistics over all ranks (GPU only); every rank has the same batch size."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=1 - TORCH_MOMENTUM, epsilon=EPSILON)
        self.ranks = get_world_size()


def synchronize(network: nn.Layer) -> None:
    """Replace every batch norm of a network by a synchronized one with the same tensors."""
    for layer in network.sublayers(include_self=True):
        for name, child in layer.named_children():
            if isinstance(child, BatchNorm2D):
                setattr(layer, name, _synchronized(child))


def _synchronized(norm: BatchNorm2D) -> SyncBatchNorm:
    layer = SyncBatchNorm(norm.weight.shape[0])
    for tensor in ("weight", "bias", "_mean", "_variance"):
        setattr(layer, tensor, getattr(norm, tensor))
    return layer
