"""ONNX files for runtimes older than the operator set that the exporter writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from trishift.errors import FrameworkError
from trishift.export.onnx_files import opset_of

_AXES_AS_INPUT = 18  # since then, reductions take their axes as an input
_REDUCTIONS = frozenset({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"})
_ALLOWS_ZERO = 14  # since then, Reshape has the attribute `allowzero`


def lower_opset(path: Path, opset: int) -> None:
    """Rewrite a file for an older operator set; its inputs and outputs stay the same.

    Raises:
        FrameworkError: an operator of the model does not exist in this set; names the oldest set that works.
    """
    model = onnx.load(path)
    lowered = _lowered(model, opset)
    if lowered is None:
        possible = (number for number in range(opset + 1, opset_of(path)) if _lowered(model, number) is not None)
        oldest = next(possible, opset_of(path))
        raise FrameworkError(f"opset {opset}: this model needs a newer one; the oldest that works is --opset {oldest}")
    onnx.save(lowered, path)


def _lowered(model: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
    """A copy of the model for an older operator set; None if ONNX's checker refuses it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}
    for node in copy.graph.node:
        if opset < _ALLOWS_ZERO and node.op_type == "Reshape":
            _drop(node, "allowzero")  # zeros are sizes of empty batches only
        if opset < _AXES_AS_INPUT and node.op_type in _REDUCTIONS and not _take_axes(node, constants):
            return None
    used = {name for node in copy.graph.node for name in node.input}
    for name in constants.keys() - used:
        copy.graph.initializer.remove(constants[name])
    for entry in copy.opset_import:
        if not entry.domain:
            entry.version = opset
    try:
        onnx.checker.check_model(copy, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return None
    return copy


def _take_axes(node: Any, constants: dict[str, Any]) -> bool:
    """Turn the axes of a reduction from an input into an attribute; False if they are not constant."""
    if len(node.input) > 1:
        if node.input[1] not in constants:
            return False
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        node.attribute.append(onnx.helper.make_attribute("axes", axes))
        del node.input[1:]
    _drop(node, "noop_with_empty_axes")
    return True


def _drop(node: Any, name: str) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
