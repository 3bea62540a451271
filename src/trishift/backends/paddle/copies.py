"""Copies of arrays on the device, before its computation."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor


class Copies:
    """Copies arrays to a device: see `contract.Copies`.

    Paddle cannot tell its allocator that another stream still reads a tensor, so copies use the stream of the
    computation and begin when they are taken.
    """

    def __init__(self, device: str) -> None:
        """`device`: its name in the framework."""

    def begin(self, array: np.ndarray) -> None:
        """Do nothing."""

    def take(self, array: np.ndarray) -> Tensor:
        """The copy of an array, which computation can use from now on."""
        return paddle.to_tensor(array)
