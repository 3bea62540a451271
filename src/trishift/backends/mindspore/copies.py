"""Copies of arrays on the device, before its computation."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor


class Copies:
    """Copies arrays to a device: see `contract.Copies`.

    MindSpore moves tensors itself when an operator needs them, in the stream of the computation.
    """

    def __init__(self, device: str) -> None:
        """`device`: its name in the framework."""

    def begin(self, array: np.ndarray) -> None:
        """Do nothing."""

    def take(self, array: np.ndarray) -> Tensor:
        """The copy of an array, which computation can use from now on."""
        dtype = np.int32 if array.dtype == np.int64 else array.dtype  # the type of class indices in MindSpore
        return Tensor(np.ascontiguousarray(array, dtype))
