"""Networks that run eagerly or as a compiled program.

Programs use Paddle Inference with oneDNN on CPUs and `to_static` on GPUs. Batch and image size are free, so a smaller
last batch needs no recompilation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
from paddle import Tensor
from paddle.static import InputSpec

from trishift.backends.contract import Execution
from trishift.backends.paddle.exporting import PREFIX, Program
from trishift.backends.program import ProgramSpec


class Pass:
    """A network, compiled into a program of clips (N, T, C, H, W) in evaluation mode.

    The program keeps the weights of its first call. Calls with more arguments (drawn relations) run eagerly.
    """

    def __init__(self, function: Callable[..., Any], compiled: bool | None) -> None:
        """`compiled`: True compiles at the first call, False and None never."""
        self._function = function
        self._compiled = bool(compiled)
        self._program: Callable[[Tensor], Tensor] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Run the network."""
        if not self._compiled or len(arguments) > 1:
            return self._function(*arguments)
        if self._program is None:
            self._program = _compile(self._function, arguments[0])
        return self._program(arguments[0])


def _compile(network: Any, clips: Tensor) -> Callable[[Tensor], Tensor]:
    spec = [InputSpec([None, *clips.shape[1:3], None, None], "float32", "clips")]
    if paddle.device.get_device() != "cpu":  # a static graph that shares its weights with the network
        return paddle.jit.to_static(network.forward, input_spec=spec, full_graph=True)
    with tempfile.TemporaryDirectory() as folder:
        paddle.jit.save(network, str(Path(folder) / PREFIX), input_spec=spec)
        program = Program(Path(folder), ProgramSpec(network.spec, tuple(clips.shape[-2:])), Execution())
    return lambda clips: paddle.to_tensor(program.run((clips.numpy(),))[0])
