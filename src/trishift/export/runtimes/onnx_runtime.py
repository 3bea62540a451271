"""ONNX files in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from trishift.backends.contract import Device, Execution
from trishift.backends.program import ProgramSpec
from trishift.errors import ExecutionError

_PROVIDERS = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider", "ascend": "CANNExecutionProvider"}
_BEST: tuple[Device, ...] = ("gpu", "ascend")
_ERRORS_ONLY = 3


def find_device() -> Device:
    """The best device that this build of ONNX Runtime supports."""
    available = onnxruntime.get_available_providers()
    return next((device for device in _BEST if _PROVIDERS[device] in available), "cpu")


class Program:
    """An ONNX file."""

    def __init__(self, path: Path, spec: ProgramSpec, execution: Execution) -> None:
        provider = _PROVIDERS[execution.device]
        if provider not in onnxruntime.get_available_providers():
            raise ExecutionError(
                f"device {execution.device}: this onnxruntime has no {provider}; install a build that has one, or set",
                ("device", "cpu"),
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        self._names = [port.name for port in self._session.get_inputs()]

    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """Run the program; outputs are in the order of the `ProgramSpec`."""
        outputs: list[np.ndarray] = self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        return outputs
