"""Tensors of a framework's networks as listed by the framework itself, without our table.

    python -m tests.support.own_tensors FRAMEWORK FILE

writes, for each of `MODELS`, rows of [module path, layer type, attribute, shape, trainable] in network order, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trishift.model.motion import MotionSpec, tdn
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

Row = tuple[str, str, str, tuple[int, ...], bool]
MODELS = {
    "flow": ModelSpec("resnet10", 3, width=8, in_channels=10),
    "embedded gaussian": ModelSpec("resnet34", 3, width=8, non_local=True, temporal_pool=True, shift=ShiftSpec()),
    "gaussian": ModelSpec("resnet34", 3, width=8, non_local=True, non_local_form="gaussian"),
    "concatenation": ModelSpec("resnet34", 3, width=8, non_local=True, non_local_form="concatenation"),
    "relation": ModelSpec("resnet50", 3, width=8, head=HeadSpec("relation", hidden_width=16, relation_width=8)),
    "variant D": ModelSpec("resnet14_vd", 3, width=8, negative_slope=0.01, shift=ShiftSpec()),
    "motion": ModelSpec("resnet14", 3, 4, in_channels=15, width=16, motion=MotionSpec(window=4)),
    "difference": ModelSpec("resnet14", 3, 4, in_channels=15, width=16, motion=tdn(4)),
    "mobilenet_v2": ModelSpec("mobilenet_v2", 3, shift=ShiftSpec()),
    "pp_mobilenet_v2": ModelSpec("pp_mobilenet_v2", 3),
    "pp_mobilenet_v3": ModelSpec("pp_mobilenet_v3", 3, shift=ShiftSpec()),
    "pp_lcnet_v2": ModelSpec("pp_lcnet_v2", 3, 4, shift=ShiftSpec(4), temporal_attention=True),
    "bn_inception": ModelSpec("bn_inception", 3, 5, head=HeadSpec("multiscale_relation", relation_width=8)),
    "inception_v3": ModelSpec("inception_v3", 3, 2),
}
LAYERS = {  # class names of the frameworks, including base classes of ours
    **dict.fromkeys(("Conv2d", "Conv3d", "Conv2D", "Conv3D", "LearnedShift"), "conv"),
    **dict.fromkeys(("Linear", "Dense"), "linear"),
    **dict.fromkeys(("BatchNorm2d", "BatchNorm3d", "BatchNorm2D", "BatchNorm3D"), "norm"),
}
NOT_WEIGHTS = ("num_batches_tracked", "frames")  # PyTorch's counter, and the indices of relations


def own_tensors(framework: str, spec: ModelSpec) -> Iterator[Row]:
    """Every tensor of a network, found by walking its modules."""
    network: Any = importlib.import_module(f"trishift.backends.{framework}.recognizer").Recognizer(spec)
    walk = {"pytorch": _pytorch, "mindspore": _mindspore, "paddle": _paddle}[framework]
    for path, module, attribute, tensor, trainable in walk(network):
        if attribute not in NOT_WEIGHTS:
            kind = next((LAYERS[c.__name__] for c in type(module).__mro__ if c.__name__ in LAYERS), "unknown")
            yield path, kind, attribute, tuple(tensor.shape), trainable


def _pytorch(network: Any) -> Iterator[tuple[str, Any, str, Any, bool]]:
    for path, module in network.named_modules():
        for name, tensor in module.named_parameters(recurse=False):
            yield path, module, name, tensor, tensor.requires_grad
        for name, tensor in module.named_buffers(recurse=False):
            yield path, module, name, tensor, False


def _mindspore(network: Any) -> Iterator[tuple[str, Any, str, Any, bool]]:
    for path, cell in network.cells_and_names():
        for name, tensor in cell._params.items():  # `parameters_and_names` uses the tensors' own names
            if tensor is not None:
                yield path, cell, name, tensor, tensor.requires_grad


def _paddle(network: Any) -> Iterator[tuple[str, Any, str, Any, bool]]:
    for path, layer in network.named_sublayers():
        for name, tensor in layer.named_parameters(include_sublayers=False):
            yield path, layer, name, tensor, not tensor.stop_gradient
        for name, tensor in layer.named_buffers(include_sublayers=False):
            yield path, layer, name, tensor, False


def main(framework: str, file: str) -> None:
    rows = {name: list(own_tensors(framework, spec)) for name, spec in MODELS.items()}
    Path(file).write_text(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
