"""Selection of the device that a session runs on."""

from __future__ import annotations

import logging

import mindspore

from trishift.backends.contract import Device, Execution
from trishift.backends.limits import check_execution
from trishift.errors import ExecutionError, FrameworkError

_TARGETS = {"cpu": "CPU", "gpu": "GPU", "ascend": "Ascend"}
_BEST: tuple[Device, ...] = ("ascend", "gpu")
_REMEDIES = {
    "gpu": "official wheels support GPUs up to version 2.3 only; build MindSpore with -e gpu, or set",
    "ascend": "install the Ascend driver and the CANN toolkit on a machine with an NPU, or set",
}


def find_device() -> Device:
    """The best device that MindSpore finds here."""
    logging.disable(logging.ERROR)  # as below
    try:
        found = [device for device in _BEST if mindspore.hal.is_available(_TARGETS[device])]
    finally:
        logging.disable(logging.NOTSET)
    return found[0] if found else "cpu"


def select_device(execution: Execution, local_rank: int = 0) -> str:
    """Select the device of an `Execution`; returns its name in MindSpore.

    `local_rank` has no effect: the launcher assigns devices to processes.

    Raises:
        FrameworkError: the device is not available or does not support the settings.
    """
    check_execution("mindspore", execution)
    logging.disable(logging.ERROR)  # MindSpore logs pages about missing libraries; the error below fits on one line
    try:
        mindspore.set_device(_TARGETS[execution.device])
    except RuntimeError:  # also raised if MindSpore runs already, which is fine on the same device
        if mindspore.get_context("device_target") != _TARGETS[execution.device]:
            problem = f"device {execution.device}: MindSpore {mindspore.__version__} cannot use it in this process; "
            if execution.device == "cpu":
                raise FrameworkError(f"{problem}it already runs on another device; start a new process") from None
            raise ExecutionError(problem + _REMEDIES[execution.device], ("device", "cpu")) from None
    finally:
        logging.disable(logging.NOTSET)
    if execution.device == "cpu":
        # The threads that queue eager operators spin while they wait and take time from those that compute.
        mindspore.runtime.launch_blocking()
    return _TARGETS[execution.device]
