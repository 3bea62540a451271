"""Passes through a network, operator by operator or as a compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Pass:
    """A function of tensors that becomes a graph where that is asked for."""

    def __init__(self, function: Callable[..., Any], compiled: bool | None) -> None:
        """`compiled`: `torch.compile`, or (False or None) eager, the better default for short runs."""
        self._function = torch.compile(function) if compiled else function

    def __call__(self, *arguments: Any) -> Any:
        """Run the function."""
        return self._function(*arguments)
