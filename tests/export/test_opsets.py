"""ONNX files for older operator sets compute the same, or name the oldest set that works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trishift.errors import FrameworkError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from trishift.export.onnx_opsets import lower_opset  # noqa: E402


def write(path: Path, last: str = "Relu") -> Path:
    """A file of opset 18 with operators that older sets write in another way, ending with one more operator."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [-1, 2, 4])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [2])
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["rows"], allowzero=1),
        helper.make_node("ReduceMean", ["rows", "axes"], ["mean"], keepdims=0, noop_with_empty_axes=0),
        helper.make_node(last, ["mean"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 8), ("y", 2))]
    graph = helper.make_graph(nodes, "graph", ports[:1], ports[1:], [shape, axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def outputs(path: Path) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": np.linspace(-1, 3, 24, dtype=np.float32).reshape(3, 8)})[0]
    return result


@pytest.mark.parametrize("opset", [13, 14, 17])
def test_older_sets_compute_the_same(tmp_path: Path, opset: int) -> None:
    path = write(tmp_path / "model.onnx")
    expected = outputs(path)
    lower_opset(path, opset)
    model = onnx.load(path)
    assert model.opset_import[0].version == opset
    assert [tensor.name for tensor in model.graph.initializer] == ["shape"]
    np.testing.assert_array_equal(outputs(path), expected)


def test_missing_operator_names_the_oldest_set(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx", "Mish")  # new in opset 18
    before = path.read_bytes()
    with pytest.raises(
        FrameworkError, match="opset 13: this model needs a newer one; the oldest that works is --opset 18"
    ):
        lower_opset(path, 13)
    path = write(tmp_path / "swish.onnx", "HardSwish")  # new in opset 14
    with pytest.raises(FrameworkError, match=r"--opset 14$"):
        lower_opset(path, 13)
    assert (tmp_path / "model.onnx").read_bytes() == before
