"""Batch norm with PyTorch's statistics, freezing and synchronization.

Paddle's differences are handled only here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.distributed import get_world_size

_TORCH_MOMENTUM = 0.1  # new = (1 - momentum) * old + momentum * batch; Paddle calls (1 - momentum) momentum
_EPSILON = 1e-5


class _BatchNorm2D(nn.BatchNorm2D):
    """`nn.BatchNorm2D` with PyTorch's defaults and its unbiased running variance.

    Paddle adds the biased batch variance, (n - 1) / n times the unbiased one. Scaling the old value by (n - 1) / n
    before Paddle's update, and the result by n / (n - 1) after it, corrects only the new term. Both frameworks
    normalize with the biased variance.
    """

    ranks = 1

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=1 - _TORCH_MOMENTUM, epsilon=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in and out."""
        if not self.training:
            return F.batch_norm(x, self._mean, self._variance, self.weight, self.bias, epsilon=_EPSILON)
        count = self.ranks * x.shape[0] * math.prod(x.shape[2:])
        correction = count / max(count - 1, 1)
        variance = self._variance / correction  # a copy: the backward pass reads the tensor that Paddle updates
        y = self._normalize(x, variance)
        paddle.assign(variance * correction, self._variance)
        return y

    def _normalize(self, x: Tensor, variance: Tensor) -> Tensor:
        """Normalize with batch statistics and update `_mean` and `variance`."""
        return F.batch_norm(
            x, self._mean, variance, self.weight, self.bias, True, momentum=self._momentum, epsilon=_EPSILON
        )


class _SyncBatchNorm(_BatchNorm2D):
    """`_BatchNorm2D` with batch statistics over all ranks (GPU only); every rank has the same batch size."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.ranks = get_world_size()

    def _normalize(self, x: Tensor, variance: Tensor) -> Tensor:
        # as in nn.SyncBatchNorm, which does not let the caller choose the variance to update
        outputs = paddle._C_ops.sync_batch_norm_(
            x, self._mean, variance, self.weight, self.bias, False, self._momentum, _EPSILON, "NCHW", False, False
        )
        return outputs[0]


def batch_norm(channels: int) -> nn.BatchNorm2D:
    """Batch norm of (N, C, H, W) with PyTorch's defaults and statistics."""
    return _BatchNorm2D(channels)


def train(network: nn.Layer, frozen: Iterable[nn.Layer]) -> None:
    """Enter training mode, except for frozen norms, which use their running statistics without updating them."""
    network.train()
    for norm in frozen:
        norm.eval()


def synchronize(network: nn.Layer) -> None:
    """Replace every batch norm of a network with a synchronized one (GPU only) that shares its tensors."""
    for layer in network.sublayers(include_self=True):
        for name, child in layer.named_children():
            if isinstance(child, _BatchNorm2D):
                setattr(layer, name, _synchronized(child))


def _synchronized(norm: _BatchNorm2D) -> _SyncBatchNorm:
    layer = _SyncBatchNorm(norm.weight.shape[0])
    for tensor in ("weight", "bias", "_mean", "_variance"):
        setattr(layer, tensor, getattr(norm, tensor))
    return layer
