"""Networks that run eagerly or as a compiled program.

Programs use Paddle Inference with oneDNN on CPUs and `to_static` on GPUs. The batch size is free, so a smaller last
batch needs no recompilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paddle import Tensor

from trishift.backends.paddle.fused import compiled_form


class Pass:
    """A network, compiled into a program of clips (N, T, C, H, W) in evaluation mode.

    The program keeps the weights of its first call. Calls with more arguments (drawn relations) run eagerly.
    """

    def __init__(self, function: Callable[..., Any], compiled: bool | None) -> None:
        """`compiled`: True compiles at the first call, False and None never."""
        self._function: Any = function
        self._compiled = bool(compiled)
        self._programs: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}  # by image size

    @property
    def is_compiled(self) -> bool:
        """Whether the next call runs a program."""
        return self._compiled

    def __call__(self, *arguments: Any) -> Any:
        """Run the network."""
        if not self._compiled or len(arguments) > 1:
            return self._function(*arguments)
        size = tuple(arguments[0].shape[3:])
        if size not in self._programs:
            self._programs[size] = compiled_form(self._function, streaming=False)
        return self._programs[size](arguments[0])
