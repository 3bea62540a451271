"""ONNX files and INT8 models in OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from trishift.backends.contract import Execution
from trishift.backends.program import ProgramSpec
from trishift.errors import ExecutionError

MODEL = "model.xml"  # in the folder of an INT8 model
_DEVICES = {"cpu": "CPU", "gpu": "GPU"}
_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class Program:
    """A compiled model; `bf16` and `fp16` are hints that the device may ignore."""

    def __init__(self, path: Path, spec: ProgramSpec, execution: Execution) -> None:
        core = openvino.Core()
        device = _DEVICES.get(execution.device)
        if device not in core.available_devices:
            found = ", ".join(core.available_devices)
            raise ExecutionError(f"device {execution.device}: OpenVINO finds {found} here; set", ("device", "cpu"))
        model = core.read_model(path / MODEL if path.is_dir() else path)
        hints = {"INFERENCE_PRECISION_HINT": _PRECISIONS[execution.precision], "PERFORMANCE_HINT": "LATENCY"}
        self._request = core.compile_model(model, device, hints).create_infer_request()
        self._outputs = len(model.outputs)

    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """Run the program; outputs are in the order of the `ProgramSpec`."""
        self._request.infer(list(inputs))
        return [self._request.get_output_tensor(index).data.copy() for index in range(self._outputs)]
