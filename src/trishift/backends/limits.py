"""What a framework cannot do on a device, each with its reason: the whole list, checked before a session opens.

Models, losses, training and evaluation work in all three frameworks, so only choices of `Execution` stand here.
"""

from __future__ import annotations

from dataclasses import dataclass

from trishift.backends.contract import Execution
from trishift.errors import ExecutionError


@dataclass(frozen=True)
class Unsupported:
    """A setting that a framework cannot serve on a device.

    Attributes:
        framework, device: where.
        setting: the field of `Execution`, or `device` where the device itself is out of reach.
        value: the value that fails.
        reason: why, as the user reads it.
        remedies: (setting, value) pairs, one of which helps.
    """

    framework: str
    device: str
    setting: str
    value: object
    reason: str
    remedies: tuple[tuple[str, object], ...]

    def concerns(self, framework: str, execution: Execution) -> bool:
        """Whether an execution in a framework runs into this."""
        here = (self.framework, self.device) == (framework, execution.device)
        return here and getattr(execution, self.setting) == self.value


_OTHER_DEVICE = (("device", "cpu"), ("device", "gpu"))
_FP32 = (("precision", "fp32"),)
_OWN_STATISTICS = (("sync_batch_norm", False),)

UNSUPPORTED = (
    Unsupported("pytorch", "ascend", "device", "ascend", "the PyTorch backend runs on cpu and gpu", _OTHER_DEVICE),
    Unsupported("paddle", "ascend", "device", "ascend", "the Paddle backend runs on cpu and gpu", _OTHER_DEVICE),
    Unsupported("pytorch", "cpu", "sync_batch_norm", True, "torch has it on GPUs only", _OWN_STATISTICS),
    Unsupported("paddle", "cpu", "sync_batch_norm", True, "Paddle has it on GPUs only", _OWN_STATISTICS),
    Unsupported("mindspore", "cpu", "sync_batch_norm", True, "MindSpore has it on Ascend only", _OWN_STATISTICS),
    Unsupported("mindspore", "cpu", "precision", "bf16", "MindSpore has no bf16 convolutions on CPUs", _FP32),
    Unsupported("paddle", "cpu", "precision", "bf16", "Paddle has it on GPUs only", _FP32),
    Unsupported("paddle", "cpu", "precision", "fp16", "Paddle has it on GPUs only", _FP32),
)  # fmt: skip


def check_execution(framework: str, execution: Execution) -> None:
    """Refuse what stands in the list.

    Raises:
        ExecutionError: names the setting, the reason and the remedy.
    """
    for entry in UNSUPPORTED:
        if entry.concerns(framework, execution):
            value = "" if entry.value is True else f" {entry.value}"
            raise ExecutionError(f"{entry.setting}{value}: {entry.reason}; set", *entry.remedies)
