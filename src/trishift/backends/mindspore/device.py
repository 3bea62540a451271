"""The device that a session runs on."""

from __future__ import annotations

import logging

import mindspore

from trishift.backends.contract import Execution
from trishift.backends.limits import check_execution
from trishift.errors import FrameworkError

_TARGETS = {"cpu": "CPU", "gpu": "GPU", "ascend": "Ascend"}
_REMEDIES = {
    "cpu": "it runs on another device already; start a new process",
    "gpu": "official wheels support GPUs up to version 2.3 only; set DEVICE=cpu, or build MindSpore with -e gpu",
    "ascend": "install the Ascend driver and the CANN toolkit on a machine with an NPU, or set DEVICE=cpu",
}


def select_device(execution: Execution) -> None:
    """Make MindSpore run on the device of an `Execution`.

    Raises:
        FrameworkError: there is none, or it lacks what is asked for.
    """
    check_execution("mindspore", execution)
    logging.disable(logging.ERROR)  # MindSpore logs pages about missing libraries; the error below says it in a line
    try:
        mindspore.set_device(_TARGETS[execution.device])
    except RuntimeError:  # also raised where MindSpore runs already, which is all right on the same device
        if mindspore.get_context("device_target") != _TARGETS[execution.device]:
            raise FrameworkError(
                f"device {execution.device}: MindSpore {mindspore.__version__} cannot use it in this process; "
                f"{_REMEDIES[execution.device]}"
            ) from None
    finally:
        logging.disable(logging.NOTSET)
