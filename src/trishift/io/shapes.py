"""Shapes of tensors in untrusted files."""

from __future__ import annotations

import math
from collections.abc import Sequence

_MAX_DIMENSIONS = 32
_MAX_ELEMENTS = 2**48


def num_elements(shape: Sequence[int]) -> int:
    """Number of elements of a tensor.

    Raises:
        ValueError: no tensor has such a shape.
    """
    if len(shape) > _MAX_DIMENSIONS or not all(type(n) is int and 0 <= n <= _MAX_ELEMENTS for n in shape):
        raise ValueError("a tensor with an impossible shape")
    return math.prod(shape)
