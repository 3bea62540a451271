"""Loss scaling for mixed precision, and the clipping factor: the same arithmetic in every framework."""

from __future__ import annotations

import math
from typing import Any


class LossScale:
    """Keeps small fp16 gradients above zero: halved on overflow, doubled after `patience` steps without one.

    Attributes:
        factor: multiplies the loss of the next optimizer step; 1 if disabled.
    """

    def __init__(self, enabled: bool, factor: float = 65536.0, patience: int = 2000) -> None:
        self.enabled = enabled
        self.factor = factor if enabled else 1.0
        self._patience = patience
        self._steps_without_overflow = 0

    def update(self, norm: Any) -> bool:
        """Adapt to the total gradient norm of a step, a number or scalar; returns False if it must be skipped."""
        if not self.enabled:
            return True
        overflow = not math.isfinite(float(norm))
        self._steps_without_overflow = 0 if overflow else self._steps_without_overflow + 1
        if overflow:
            self.factor /= 2
        elif self._steps_without_overflow % self._patience == 0:
            self.factor *= 2
        return not overflow


def clip_factor(norm: Any, clip_norm: float | None) -> Any:
    """The factor, at most 1, that scales gradients of a total norm (a float32 scalar) down to `clip_norm`.

    Each operation is rounded as in `torch.nn.utils.clip_grad_norm_`, on the scalar's device.
    """
    if clip_norm is None:
        return 1.0
    return (1 / (norm + 1e-6) * clip_norm).clip(max=1)
