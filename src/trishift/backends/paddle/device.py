"""The device that a session runs on."""

from __future__ import annotations

import os

import paddle

from trishift.backends.contract import Execution
from trishift.backends.limits import check_execution
from trishift.errors import ExecutionError


def select_device(execution: Execution, local_rank: int = 0) -> str:
    """Make Paddle run on the device of an `Execution`; returns the device's name in Paddle.

    Raises:
        ExecutionError: there is none, or it lacks what is asked for.
    """
    check_execution("paddle", execution)
    if execution.device == "cpu":
        paddle.set_device("cpu")
        return "cpu"
    if not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise ExecutionError(
            "device gpu: paddle finds no CUDA device; install paddlepaddle-gpu or set", ("device", "cpu")
        )
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # fp32 means float32; bf16 is the fast choice
    paddle.set_device(f"gpu:{local_rank}")
    return f"gpu:{local_rank}"
