"""Input and output names, and metadata, of ONNX files from any framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from trishift.backends.program import ProgramSpec
from trishift.checkpoints.canonical import DESCRIPTION_KEY

_BATCH = "batch"


def opset_of(path: Path) -> int:
    """The operator set version of a file."""
    return int(next(entry.version for entry in onnx.load(path).opset_import if not entry.domain))


def annotate(path: Path, program: ProgramSpec, text: str) -> None:
    """Rename inputs and outputs as in the `ProgramSpec`, and embed a description."""
    model = onnx.load(path)
    graph = model.graph
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = [port for port in graph.input if port.name not in initializers]
    names = {port.name: spec.name for port, spec in zip(inputs, program.inputs, strict=True)}
    names.update({port.name: spec.name for port, spec in zip(graph.output, program.outputs, strict=True)})
    _rename(graph, names)
    for port in [*inputs, *graph.output]:
        batch = port.type.tensor_type.shape.dim[0]
        if batch.HasField("dim_param"):
            batch.dim_param = _BATCH
    onnx.helper.set_model_props(model, {DESCRIPTION_KEY: text})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Rename inputs and outputs of the graph, and the matching edges of its nodes."""
    for port in [*graph.input, *graph.output]:
        port.name = names.get(port.name, port.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
