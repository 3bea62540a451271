"""One module per runtime that is not a framework; backends open the programs of their frameworks."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

from trishift import backends
from trishift.backends import FRAMEWORKS, check_framework
from trishift.backends import MODULES as FRAMEWORK_MODULES
from trishift.backends.contract import Device, Execution, Program
from trishift.backends.program import ProgramSpec
from trishift.errors import CheckpointError, FrameworkError, TrishiftError, install_hint

_PRECISIONS = {"openvino": ("fp32", "bf16", "fp16")}  # others run programs in fp32


def check_packages(*packages: str) -> None:
    """Raise a `FrameworkError` with a remedy unless runtimes and other packages are installed."""
    for package in packages:
        if package in FRAMEWORKS:
            check_framework(package)
        elif importlib.util.find_spec(package) is None:
            raise FrameworkError(f"{package} is not installed; {install_hint('export')}")


def check_precision(runtime: str, execution: Execution) -> None:
    """Raise a `FrameworkError` with a remedy unless a runtime offers the precision of an execution."""
    offered = _PRECISIONS.get(runtime, ("fp32",))
    if execution.precision not in offered:
        remedy = "--format openvino-int8 exports calibrated models" if execution.precision == "int8" else "use openvino"
        raise FrameworkError(
            f"precision {execution.precision}: {runtime} runs this program in {' or '.join(offered)}; {remedy}"
        )


def open_program(runtime: str, path: Path, spec: ProgramSpec, execution: Execution) -> Program:
    """Open an exported file or folder in a runtime.

    Raises:
        FrameworkError: the runtime is not installed, or lacks the requested device or precision.
        CheckpointError: the runtime cannot open the file.
    """
    check_packages(runtime)
    check_precision(runtime, execution)
    try:
        return _open(runtime, path, spec, execution)
    except TrishiftError:
        raise
    except Exception as error:  # every runtime raises its own errors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: {runtime} cannot open it, export it again ({reason})") from error


def find_device(runtime: str) -> Device:
    """The best device that a runtime finds here.

    Raises:
        FrameworkError: the runtime is not installed.
    """
    check_packages(runtime)
    if runtime in FRAMEWORKS:
        return backends.find_device(runtime)
    if runtime == "onnxruntime":
        from trishift.export.runtimes import onnx_runtime

        return onnx_runtime.find_device()
    return "cpu"  # OpenVINO's GPUs are integrated ones, rarely faster


def runtime_version(runtime: str) -> str:
    """Version of an installed runtime or framework, without the build suffix."""
    module = importlib.import_module(FRAMEWORK_MODULES.get(runtime, runtime))
    return re.split("[+-]", module.__version__)[0]


def _open(runtime: str, path: Path, spec: ProgramSpec, execution: Execution) -> Program:
    if runtime in FRAMEWORKS:
        return backends.open_program(runtime, path, spec, execution)
    if runtime == "onnxruntime":
        from trishift.export.runtimes import onnx_runtime

        return onnx_runtime.Program(path, spec, execution)
    from trishift.export.runtimes import openvino

    return openvino.Program(path, spec, execution)
