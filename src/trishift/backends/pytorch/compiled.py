"""Functions of tensors that run eagerly or as a compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Pass:
    """A function of tensors, compiled into a graph on request."""

    def __init__(self, function: Callable[..., Any], compiled: bool | None) -> None:
        """`compiled`: True uses `torch.compile`; False and None run eagerly, the better default for short runs."""
        self._compiled = bool(compiled)
        self._function = torch.compile(function) if compiled else function

    @property
    def is_compiled(self) -> bool:
        """Whether the next call runs the graph."""
        return self._compiled

    def __call__(self, *arguments: Any) -> Any:
        """Run the function."""
        return self._function(*arguments)
