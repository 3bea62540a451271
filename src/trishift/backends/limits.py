"""Settings that a framework does not support on a device, checked before a session opens.

Models, losses, training and evaluation work in all three frameworks, so only fields of `Execution` are listed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from trishift.backends.contract import Execution
from trishift.errors import ExecutionError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unsupported:
    """A setting that a framework does not support on a device.

    Attributes:
        framework, device: where the limit applies.
        setting: the field of `Execution`, or `device` if the device itself is not supported.
        value: the unsupported value.
        reason: part of the error message.
        remedies: alternatives as (setting, value) pairs.
    """

    framework: str
    device: str
    setting: str
    value: object
    reason: str
    remedies: tuple[tuple[str, object], ...]

    def concerns(self, framework: str, execution: Execution) -> bool:
        """Whether the limit applies to an execution in a framework."""
        here = (self.framework, self.device) == (framework, execution.device)
        return here and getattr(execution, self.setting) == self.value


_OTHER_DEVICE = (("device", "cpu"), ("device", "gpu"))
_FP32 = (("precision", "fp32"),)
_CALIBRATED = "weights need calibration, see trishift export --format openvino-int8"
_OWN_STATISTICS = (("sync_batch_norm", False),)

UNSUPPORTED = (
    Unsupported("pytorch", "ascend", "device", "ascend", "the PyTorch backend runs on cpu and gpu", _OTHER_DEVICE),
    Unsupported("paddle", "ascend", "device", "ascend", "the Paddle backend runs on cpu and gpu", _OTHER_DEVICE),
    Unsupported("pytorch", "cpu", "sync_batch_norm", True, "torch supports it on GPUs only", _OWN_STATISTICS),
    Unsupported("paddle", "cpu", "sync_batch_norm", True, "Paddle supports it on GPUs only", _OWN_STATISTICS),
    Unsupported("mindspore", "cpu", "sync_batch_norm", True, "MindSpore supports it on Ascend only", _OWN_STATISTICS),
    Unsupported("mindspore", "cpu", "precision", "bf16", "MindSpore has no bf16 convolutions on CPUs", _FP32),
    Unsupported("paddle", "cpu", "precision", "bf16", "Paddle supports it on GPUs only", _FP32),
    Unsupported("paddle", "cpu", "precision", "fp16", "Paddle supports it on GPUs only", _FP32),
    Unsupported("pytorch", "cpu", "precision", "tf32", "only GPUs have it", _FP32),
    *(
        Unsupported(framework, device, "precision", "tf32", "only the PyTorch backend switches it", _FP32)
        for framework, devices in (("mindspore", ("cpu", "gpu", "ascend")), ("paddle", ("cpu", "gpu")))
        for device in devices
    ),
    *(
        Unsupported(framework, device, "precision", "int8", _CALIBRATED, _FP32)
        for framework, device in (
            *(("pytorch", device) for device in ("cpu", "gpu")),
            *(("mindspore", device) for device in ("cpu", "gpu", "ascend")),
            *(("paddle", device) for device in ("cpu", "gpu")),
        )
    ),
)  # fmt: skip


def check_execution(framework: str, execution: Execution) -> None:
    """Reject an execution that the list rules out.

    Raises:
        ExecutionError: a setting is not supported; the message states the reason and the remedy.
    """
    for entry in UNSUPPORTED:
        if entry.concerns(framework, execution):
            value = "" if entry.value is True else f" {entry.value}"
            raise ExecutionError(f"{entry.setting}{value}: {entry.reason}; set", *entry.remedies)


def supported_precision(framework: str, execution: Execution) -> Execution:
    """The execution, in fp32 if the framework lacks its precision on its device; a warning says so."""
    for entry in UNSUPPORTED:
        if entry.setting == "precision" and entry.concerns(framework, execution):
            text = "precision %s: %s; %s predicts in fp32 (--strict makes this an error)"
            _LOG.warning(text, execution.precision, entry.reason, framework)
            return replace(execution, precision="fp32")
    return execution
