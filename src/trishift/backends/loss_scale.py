"""The loss scale of mixed precision and the factor of clipping: plain numbers, the same in every framework."""

from __future__ import annotations

import math

import numpy as np


class LossScale:
    """The factor that keeps small fp16 gradients above zero: halved when they overflow, doubled after a calm.

    Attributes:
        factor: on the loss of the next step; 1 where it is not enabled.
    """

    def __init__(self, enabled: bool, factor: float = 65536.0, patience: int = 2000) -> None:
        self.enabled = enabled
        self.factor = factor if enabled else 1.0
        self._patience = patience
        self._calm = 0

    def update(self, norm: float) -> bool:
        """Learn from the total gradient norm of a step; returns whether the step may be taken."""
        if not self.enabled:
            return True
        overflow = not math.isfinite(norm)
        self._calm = 0 if overflow else self._calm + 1
        if overflow:
            self.factor /= 2
        elif self._calm % self._patience == 0:
            self.factor *= 2
        return not overflow


def clip_factor(norm: float, clip_norm: float | None) -> float:
    """The factor that scales gradients of a total norm down to `clip_norm`, at most 1.

    Rounded operation by operation as `torch.nn.utils.clip_grad_norm_` rounds it.
    """
    if clip_norm is None:
        return 1.0
    return min(1.0, float(np.float32(1) / (np.float32(norm) + np.float32(1e-6)) * np.float32(clip_norm)))
