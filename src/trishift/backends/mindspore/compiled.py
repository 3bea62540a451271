"""Functions of tensors that run eagerly or as a compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore

from trishift.backends.fast_forms import PATIENCE


class Pass:
    """A function of tensors, compiled into a graph (`mindspore.jit`) once that pays off.

    A graph runs in a fraction of the time, because its kernels are set up once and not per call. Compiling costs
    seconds, too much for a single prediction. Each new batch shape needs a new graph.
    """

    def __init__(self, function: Callable[..., Any], compiled: bool | None) -> None:
        """`compiled`: True compiles at the first call, False never, None after `PATIENCE` calls."""
        self._function = function
        self._graph = mindspore.jit(function)
        self._calls_left = {True: 0, False: None, None: PATIENCE}[compiled]

    @property
    def is_compiled(self) -> bool:
        """Whether the next call runs the graph."""
        return self._calls_left == 0

    def __call__(self, *arguments: Any) -> Any:
        """Run the function."""
        if self.is_compiled:
            return self._graph(*arguments)
        if self._calls_left is not None:
            self._calls_left -= 1
        return self._function(*arguments)
