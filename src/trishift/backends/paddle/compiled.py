"""Networks that run eagerly or as a compiled program.

Programs use Paddle Inference with oneDNN on CPUs and `to_static` on GPUs. The batch size is free, so a smaller last
batch needs no recompilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
from paddle import Tensor
from paddle.static import InputSpec

from trishift.backends.paddle.fused import fuse


class Pass:
    """A network, compiled into a program of clips (N, T, C, H, W) in evaluation mode.

    The program keeps the weights of its first call. Calls with more arguments (drawn relations) run eagerly.
    """

    def __init__(self, function: Callable[..., Any], compiled: bool | None) -> None:
        """`compiled`: True compiles at the first call, False and None never."""
        self._function = function
        self._compiled = bool(compiled)
        self._programs: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}  # by image size

    def __call__(self, *arguments: Any) -> Any:
        """Run the network."""
        if not self._compiled or len(arguments) > 1:
            return self._function(*arguments)
        size = tuple(arguments[0].shape[3:])
        if size not in self._programs:
            self._programs[size] = _compile(self._function, arguments[0])
        return self._programs[size](arguments[0])


def _compile(network: Any, clips: Tensor) -> Callable[[Tensor], Tensor]:
    if paddle.device.get_device() == "cpu":
        return fuse(network, streaming=False, precision="fp32")
    spec = [InputSpec([None, *clips.shape[1:3], None, None], "float32", "clips")]
    return paddle.jit.to_static(network.forward, input_spec=spec, full_graph=True)  # shares the network's weights
