"""Passes through a network, operator by operator or as a compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore

PATIENCE = 8  # compiling a graph takes as long as five to ten passes without one


class Pass:
    """A function of tensors that becomes a graph (`mindspore.jit`) as soon as that pays.

    A graph's step takes a fraction of the time, because the kernels are set up once and not at every call, but
    compiling it costs seconds: too much for a single prediction. Each new batch shape makes a new graph.
    """

    def __init__(self, function: Callable[..., Any], compiled: bool | None) -> None:
        """`compiled`: from the first call on, never, or (None) after `PATIENCE` calls."""
        self._function = function
        self._graph = mindspore.jit(function)
        self._calls_left = {True: 0, False: None, None: PATIENCE}[compiled]

    def __call__(self, *arguments: Any) -> Any:
        """Run the function."""
        if self._calls_left == 0:
            return self._graph(*arguments)
        if self._calls_left is not None:
            self._calls_left -= 1
        return self._function(*arguments)
