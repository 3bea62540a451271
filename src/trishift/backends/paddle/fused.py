"""The fused form of a network: the same function with the same weights, made for prediction on CPUs.

Paddle Inference optimizes the network's program: batch norms, activations and sums become part of oneDNN's convolution
kernels. A form takes inputs of the size of the first one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
from paddle import Tensor

from trishift.backends.contract import Execution
from trishift.backends.paddle.exporting import Program, write_program
from trishift.backends.paddle.recognizer import Recognizer
from trishift.backends.program import ProgramSpec


def fuse(network: Recognizer, streaming: bool, precision: str) -> Callable[..., Any]:
    """Make the fused form of a network, or of its step on streams, from its present weights.

    Args:
        network: on the CPU, in evaluation mode.
        streaming: a step (frames and state) instead of clips.
        precision: `fp32`; of convolutions and feature maps.

    Returns:
        A function of tensors without gradients: clips (N, T, C, H, W) to logits (N, K), or frames (N, C, H, W) and
        state to logits and new state.
    """
    program: Program | None = None

    def run(*inputs: Tensor) -> Any:
        nonlocal program
        if program is None:  # for the size of the first input: one for all sizes would take far longer to make
            height, width = inputs[0].shape[-2:]
            program = _program(network, ProgramSpec(network.spec, (height, width), None, streaming))
        outputs = [paddle.to_tensor(array) for array in program.run(tuple(tensor.numpy() for tensor in inputs))]
        return outputs if streaming else outputs[0]

    return run


def _program(network: Recognizer, spec: ProgramSpec) -> Program:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program"
        write_program(network, spec, "paddle", path, {}, 0)
        return Program(path, spec, Execution())
