"""How close max pools are to a tie, at which the gradient of the winner jumps to another pixel.

Frameworks round differently, so a window whose two largest values are equal but for rounding may have another winner in
each. The network's outputs are the same then, but not its gradients: a single one of them changes gradients by up to
several percent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

EQUAL = 1e-5  # relative range of a window whose values are all the same


class ClosestTie(TorchFunctionMode):
    """While active, the smallest relative gap between the winner and the runner-up of PyTorch's max pools.

    Example:
        >>> with ClosestTie() as closest:
        ...     _ = F.max_pool2d(torch.tensor([[[[1.0, 0.5], [0.75, 0.0]]]]), 2)
        >>> closest.gap
        0.25
    """

    def __init__(self) -> None:
        super().__init__()
        self.gap = float("inf")

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call `func`, and look at the windows of a max pool."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.max_pool2d:
            self.gap = min(self.gap, smallest_gap(result, *args, **kwargs))
        return result


def smallest_gap(
    pooled: Tensor,
    x: Tensor,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    **_: object,
) -> float:
    """Smallest difference between the two largest values of a window, relative to the largest value of all.

    Windows of equal values don't count: they are closed channels, or averages of the same pixels, which the layers
    below treat alike whichever wins.
    """
    (rows, columns), (above, left) = _pair(kernel), _pair(padding)
    strides = _pair(stride or kernel)
    with torch.no_grad():
        below, right = (
            max(0, (outputs - 1) * step + size - length - before)
            for outputs, step, size, length, before in zip(
                pooled.shape[2:], strides, (rows, columns), x.shape[2:], (above, left), strict=True
            )
        )
        padded = F.pad(x, (left, right, above, below), value=-torch.inf)
        windows = padded.unfold(2, rows, strides[0]).unfold(3, columns, strides[1])
        windows = windows[:, :, : pooled.shape[2], : pooled.shape[3]].flatten(-2)
        first, second = windows.topk(2, -1).values.unbind(-1)
        lowest = windows.masked_fill(windows.isinf(), torch.inf).amin(-1)
        scale = float(x.abs().max())
        differ = first - lowest > EQUAL * scale
        gaps = (first - second)[differ & ~second.isinf()]
    return float(gaps.min()) / scale if len(gaps) else float("inf")


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    values = (value, value) if isinstance(value, int) else tuple(value)
    return values[0], values[-1]
