"""The training losses."""

from __future__ import annotations

from collections.abc import Callable

import paddle.nn.functional as F
from paddle import Tensor

from trishift.backends.base import LossSpec

Loss = Callable[[Tensor, Tensor], Tensor]


def loss(spec: LossSpec) -> Loss:
    """The loss function of a spec: logits (N, K) and targets (N,) or (N, K) to the mean over N, a scalar.

    Label smoothing (Szegedy et al. 2016, arXiv:1512.00567) mixes the target with the uniform distribution.
    """

    def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.astype("float32"), targets, soft_label=targets.ndim == 2, label_smoothing=spec.label_smoothing
        )

    return cross_entropy
