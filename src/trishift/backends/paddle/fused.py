"""The fast forms of a network: the same function with the same weights, made for prediction.

On CPUs, Paddle Inference optimizes the network's program: batch norms, activations and sums become part of oneDNN's
convolution kernels. A form takes inputs of the size of the first one. On GPUs, `to_static` compiles the network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.static import InputSpec as PortSpec

from trishift.backends.contract import Device, Execution
from trishift.backends.paddle.exporting import Program, deployable, write_program
from trishift.backends.paddle.recognizer import Recognizer
from trishift.backends.program import ProgramSpec


def fuse(
    network: Recognizer, streaming: bool, precision: str, device: Device = "cpu", layers: Sequence[str] = ()
) -> Callable[..., Any]:
    """Make the fused form of a network, or of its step on streams, from its present weights.

    Args:
        network: in evaluation mode.
        streaming: a step (frames and state) instead of clips.
        precision: `fp32`; of convolutions and feature maps.
        device: the kind of device that the form is for.
        layers: paths of modules whose outputs replace the logits.

    Returns:
        A function of tensors without gradients: clips (N, T, C, H, W) to logits (N, K), or frames (N, C, H, W) and
        state to logits and new state, or clips to the outputs of the layers.
    """
    program: Program | None = None

    def run(*inputs: Tensor) -> Any:
        nonlocal program
        if program is None:  # for the size of the first input: one for all sizes would take far longer to make
            height, width = inputs[0].shape[-2:]
            program = _program(network, ProgramSpec(network.spec, (height, width), None, streaming), layers)
        outputs = [paddle.to_tensor(array) for array in program.run(tuple(tensor.numpy() for tensor in inputs))]
        return outputs if streaming or layers else outputs[0]

    return run


def compiled_form(network: Recognizer, streaming: bool) -> Callable[..., Any]:
    """Make the compiled form of a network in evaluation mode, or of its step on streams, from its present weights.

    Returns:
        A function of tensors without gradients: clips (N, T, C, H, W) to logits (N, K), or frames (N, C, H, W) and
        state to logits and new state.
    """
    if paddle.device.get_device() == "cpu":
        return fuse(network, streaming, "fp32")
    spec = ProgramSpec(network.spec, (224, 224), None, streaming)  # of the inputs, the size stays free
    first, *state = (PortSpec([None, *port.shape[1:-2], None, None], "float32", port.name) for port in spec.inputs)
    arguments = [first, state] if streaming else [first]
    made = paddle.jit.to_static(deployable(network, spec).forward, input_spec=arguments, full_graph=True)
    return (lambda frames, *state: made(frames, list(state))) if streaming else made


def _program(network: Recognizer, spec: ProgramSpec, layers: Sequence[str]) -> Program:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program"
        source: Any = _Observed(network, layers) if layers else network
        write_program(source, spec, "paddle", path, {}, 0)
        return Program(path, spec, Execution())


class _Observed(nn.Layer):
    """A network whose outputs are those of some of its layers, by path."""

    def __init__(self, network: Recognizer, layers: Sequence[str]) -> None:
        super().__init__()
        self.network, self._paths = network, layers

    def forward(self, clips: Tensor) -> list[Tensor]:
        """Clips (N, T, C, H, W) to the outputs."""
        found: dict[str, Tensor] = {}
        layers = dict(self.network.named_sublayers())

        def keep(path: str) -> Callable[..., None]:
            def hook(layer: nn.Layer, inputs: Any, output: Tensor) -> None:
                found[path] = output

            return hook

        hooks = [layers[path].register_forward_post_hook(keep(path)) for path in self._paths]
        try:
            self.network(clips)
        finally:
            for hook in hooks:
                hook.remove()
        return [found[path] for path in self._paths]
