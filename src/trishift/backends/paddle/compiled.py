"""The network as a compiled program for prediction: Paddle Inference with oneDNN on CPUs, `to_static` on GPUs.

Batch size and image size stay free, so nothing is compiled again for a smaller last batch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import paddle
from paddle import Tensor, inference
from paddle.static import InputSpec

from trishift.backends.paddle.device import threads
from trishift.backends.paddle.recognizer import Recognizer

Program = Callable[[Tensor], Tensor]
_PREFIX = "network"
_GPU_MEMORY = 256  # MiB to begin with


def compile_network(network: Recognizer, device: str) -> Program:
    """Clips (N, T, C, H, W) to logits (N, K) in evaluation mode, with the weights of now."""
    network.eval()
    return to_static(network) if device == "gpu" else predictor(network)


def clips_spec(network: Recognizer) -> InputSpec:
    """The clips that a network takes."""
    return InputSpec([None, network.spec.num_segments, network.spec.in_channels, None, None], "float32", "clips")


def to_static(network: Recognizer) -> Program:
    """A static graph that shares its weights with the network."""
    return paddle.jit.to_static(network.forward, input_spec=[clips_spec(network)], full_graph=True)


def predictor(network: Recognizer) -> Program:
    """A Paddle Inference program with copies of the weights."""
    with tempfile.TemporaryDirectory() as folder:
        paddle.jit.save(network, str(Path(folder) / _PREFIX), input_spec=[clips_spec(network)])
        program = open_predictor(Path(folder), _PREFIX, "cpu")
    return lambda clips: program.run([clips])[0]


def open_predictor(folder: Path, prefix: str, device: str) -> inference.Predictor:
    """Paddle Inference on saved files: batch norms folded, oneDNN kernels on CPUs."""
    config = inference.Config(str(folder), prefix)
    if device == "gpu":
        config.enable_use_gpu(_GPU_MEMORY, 0)
    else:
        config.disable_gpu()
        config.enable_onednn()
        config.set_cpu_math_library_num_threads(threads())
    config.disable_glog_info()
    return inference.create_predictor(config)
