"""Where a backend has a fused form, which predicts faster than its plain network, and the proof of each such form.

A fused form is the network in another shape: its batch norms, activations and sums belong to its convolutions. It is
made from the present weights and computes the same logits up to rounding. The network itself stays as is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trishift.backends.contract import Execution
from trishift.model.spec import ModelSpec

_LOG = logging.getLogger(__name__)
_TOLERANCE = {"fp32": 1e-4, "bf16": 0.25, "fp16": 0.05}  # of the largest logit; rounding differs in low precision
PROOF_SIZE = (64, 64)  # of the frames with which a fused form for all sizes is proven


@dataclass(frozen=True)
class FusedForm:
    """A fused form.

    Attributes:
        framework, device, precisions: where it exists.
        method: how the framework does it, for the log.
        time: its time relative to that of the plain network, TSM ResNet-50 on one clip.
        pays_from: number of clips whose prediction takes longer than making it.
        motion: whether it exists for networks with motion modules, too.
        sized: whether each image size needs a form of its own.
    """

    framework: str
    device: str
    precisions: tuple[str, ...]
    method: str
    time: float
    pays_from: int = 1
    motion: bool = True
    sized: bool = False


_INFERENCE = "Paddle Inference with oneDNN"  # which prints a line to stdout per mean in motion modules
FUSED_FORMS = (
    FusedForm("pytorch", "cpu", ("fp32", "bf16", "fp16"), "fused oneDNN convolutions, shifts in place", 0.67),
    FusedForm("paddle", "cpu", ("fp32",), _INFERENCE, 0.54, pays_from=8, motion=False, sized=True),
    FusedForm("mindspore", "cpu", ("fp32",), "batch norms inside convolutions", 0.95, pays_from=32),
)


def pays(framework: str, clips: int) -> bool:
    """Whether so many clips are worth making the framework's fused form."""
    return all(clips >= form.pays_from for form in FUSED_FORMS if form.framework == framework)


def fused_form(framework: str, execution: Execution, spec: ModelSpec) -> FusedForm | None:
    """The fused form of a network; None, with the reason in the log, if there is none or another form was chosen."""
    reason = f"it has no fused form on {execution.device} in {execution.precision}"
    if execution.compile is not None:
        reason = "execution.compile was chosen"
    elif execution.channels_last is False:
        reason = "NCHW was chosen, and fused forms are NHWC"
    else:
        for form in FUSED_FORMS:
            here = (form.framework, form.device) == (framework, execution.device)
            if here and execution.precision in form.precisions and (form.motion or spec.motion is None):
                return form
    _LOG.info("prediction in %s: the network as is, since %s", framework, reason)
    return None


def proven(
    form: FusedForm,
    precision: str,
    make: Callable[[], Any],
    inputs: tuple[Any, ...],
    logits: np.ndarray,
    read: Callable[[Any], np.ndarray],
) -> Any:
    """Make a fused form; None, with a warning, unless it computes the logits of the plain network.

    Args:
        form: the form to make.
        precision: of `Execution`.
        make: makes it.
        inputs: tensors, its arguments.
        logits: of the plain network.
        read: takes the logits from its result.
    """
    try:
        fused = make()
        worst = float(np.abs(read(fused(*inputs)) - logits).max() / np.abs(logits).max())
    except Exception as error:  # frameworks raise errors of any class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        _LOG.warning("%s cannot fuse this network, which predicts as is: %s", form.framework, reason)
        return None
    if not worst <= _TOLERANCE[precision]:
        _LOG.warning("%s: the fused network differs by %.2g, so the plain one predicts", form.framework, worst)
        return None
    _LOG.info("prediction in %s: %s; differs from the plain network by %.2g", form.framework, form.method, worst)
    return fused
