"""Selection of the device that a session runs on."""

from __future__ import annotations

import os

import paddle

from trishift.backends.contract import Device, Execution
from trishift.backends.limits import check_execution
from trishift.errors import ExecutionError


def find_device() -> Device:
    """The best device that Paddle finds here."""
    return "gpu" if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() else "cpu"


def select_device(execution: Execution, local_rank: int = 0) -> str:
    """Select the device of an `Execution`; returns its name in Paddle.

    Raises:
        ExecutionError: the device is not available or does not support the settings.
    """
    check_execution("paddle", execution)
    if execution.device == "cpu":
        paddle.set_device("cpu")
        return "cpu"
    if not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise ExecutionError(
            "device gpu: paddle finds no CUDA device; install paddlepaddle-gpu or set", ("device", "cpu")
        )
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # fp32 means float32; use bf16 for speed
    paddle.set_device(f"gpu:{local_rank}")
    return f"gpu:{local_rank}"
