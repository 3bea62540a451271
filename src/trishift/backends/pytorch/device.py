"""Selection of the device that a session runs on."""

from __future__ import annotations

import torch

from trishift.backends.contract import Device, Execution
from trishift.backends.limits import check_execution
from trishift.errors import ExecutionError


def find_device() -> Device:
    """The best device that PyTorch finds here."""
    return "gpu" if torch.cuda.is_available() else "cpu"


def select_device(execution: Execution, local_rank: int = 0) -> str:
    """Select the device of an `Execution`; returns its name in PyTorch.

    Raises:
        ExecutionError: the device is not available or does not support the settings.
    """
    check_execution("pytorch", execution)
    if execution.device == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise ExecutionError(
            "device gpu: torch finds no CUDA device; install a CUDA build of it or set", ("device", "cpu")
        )
    torch.cuda.set_device(local_rank)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = execution.precision == "tf32"
    return f"cuda:{local_rank}"
