"""Where a backend has a fast form, which predicts faster than its plain network, and the proof of each such form.

A fused form is the network in another shape: its batch norms, activations and sums belong to its convolutions. A
compiled form is the network as its framework's compiler makes it. Both are made from the present weights and compute
the same up to rounding, which is proven when they are made. The network itself stays as is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trishift.backends.contract import Execution
from trishift.errors import FrameworkError
from trishift.model.spec import ModelSpec

_LOG = logging.getLogger(__name__)
_TOLERANCE = {"fp32": 1e-4, "tf32": 0.02, "bf16": 0.25, "fp16": 0.05}  # of the largest value, which is rounded, too
_TINY = float(np.finfo(np.float32).tiny)
PATIENCE = 8  # calls before MindSpore compiles a graph, which takes as long as five to ten of them
NATIVE = "the network as is"

FormName = Literal["native", "fused", "compiled"]
OF_NETWORKS: dict[str, FormName] = {"auto": "fused", "native": "native", "compiled": "compiled"}
"""Values of `runtime` for which the network predicts in its framework, and its form."""


@dataclass(frozen=True)
class FastForm:
    """A fast form.

    Attributes:
        name: `fused` or `compiled`.
        framework, device, precisions: where it exists.
        method: how the framework does it, for logs and reports.
        time: its time relative to that of the plain network, TSM ResNet-50 on one clip; None: not measured.
        pays_from: number of clips whose prediction takes longer than making it.
        motion: whether it exists for networks with motion modules, too.
        sized: whether each image size needs a form of its own.
        has_layers: whether it computes features, too.
        fixed_batch: whether each batch size takes compiling.
    """

    name: FormName
    framework: str
    device: str
    precisions: tuple[str, ...]
    method: str
    time: float | None = None
    pays_from: int = 1
    motion: bool = True
    sized: bool = False
    has_layers: bool = True
    fixed_batch: bool = False


_INFERENCE = "Paddle Inference with oneDNN"  # which prints a line to stdout per mean in motion modules
_FOLDED = "batch norms inside convolutions"
_FROZEN = "torch.compile with frozen weights"
_HALVES = ("bf16", "fp16")


def _compiled(framework: str, device: str, method: str, *precisions: str, **more: Any) -> FastForm:
    return FastForm("compiled", framework, device, precisions, method, sized=True, has_layers=False, **more)


FAST_FORMS = (
    FastForm("fused", "pytorch", "cpu", ("fp32", *_HALVES), "fused oneDNN convolutions, shifts in place", 0.67),
    FastForm("fused", "pytorch", "gpu", ("fp32", "tf32", *_HALVES), "fused CUDA convolutions, replayed", 0.98),
    FastForm("fused", "paddle", "cpu", ("fp32",), _INFERENCE, 0.54, pays_from=8, motion=False, sized=True),
    FastForm("fused", "mindspore", "cpu", ("fp32",), _FOLDED, 0.95, pays_from=32, fixed_batch=True),
    _compiled("pytorch", "cpu", _FROZEN, "fp32", *_HALVES, fixed_batch=True),
    _compiled("pytorch", "gpu", _FROZEN, "fp32", "tf32", *_HALVES, fixed_batch=True),
    _compiled("paddle", "cpu", _INFERENCE, "fp32", motion=False),
    _compiled("paddle", "gpu", "to_static", "fp32", *_HALVES),
    _compiled("mindspore", "cpu", _FOLDED, "fp32", fixed_batch=True),
    _compiled("mindspore", "gpu", _FOLDED, "fp32", fixed_batch=True),
    _compiled("mindspore", "ascend", _FOLDED, "fp32", fixed_batch=True),
)


def pays(framework: str, clips: int) -> bool:
    """Whether so many clips are worth making the framework's fused form."""
    return all(clips >= form.pays_from for form in FAST_FORMS if (form.name, form.framework) == ("fused", framework))


def fast_form(name: FormName, framework: str, execution: Execution, spec: ModelSpec) -> FastForm | None:
    """The fast form of a network; None, with the reason in the log, if there is none or another form was chosen."""
    if name == "native":
        return None
    reason = f"it has no {name} form on {execution.device} in {execution.precision}"
    if execution.compile is not None:
        reason = "execution.compile was chosen"
    elif name == "fused" and execution.channels_last is False:
        reason = "NCHW was chosen, and fused forms are NHWC"
    else:
        for form in FAST_FORMS:
            here = (form.name, form.framework, form.device) == (name, framework, execution.device)
            if here and execution.precision in form.precisions and (form.motion or spec.motion is None):
                return form
    _LOG.info("prediction in %s: %s, since %s", framework, NATIVE, reason)
    return None


def proven(
    form: FastForm,
    precision: str,
    make: Callable[[], Any],
    inputs: tuple[Any, ...],
    expected: Sequence[np.ndarray],
    read: Callable[[Any], Sequence[np.ndarray]],
    *,
    strict: bool = False,
) -> Any:
    """Make a fast form; None, with a warning, unless it computes the same as the plain network.

    Args:
        form: the form to make.
        precision: of `Execution`.
        make: makes it.
        inputs: tensors, its arguments.
        expected: results of the plain network.
        read: takes the results from the form's outputs.
        strict: raise the warning as an error.

    Raises:
        FrameworkError: `strict`, and the form cannot be made or differs.
    """
    fast, worst, reason = None, 0.0, ""
    try:
        fast = make()
        worst = float(np.max([_difference(*pair) for pair in zip(read(fast(*inputs)), expected, strict=True)]))
    except Exception as error:  # frameworks raise errors of any class
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        reason = f"the {form.name} form of this network cannot be made ({text})"
    if not reason and not worst <= _TOLERANCE[precision]:
        reason = f"the {form.name} form of this network differs by {worst:.2g} of the largest value"
    if reason and strict:
        raise FrameworkError(f"{form.framework}: {reason}; use --runtime native, or remove --strict")
    if reason:
        _LOG.warning("%s: %s, so %s predicts", form.framework, reason, NATIVE)
        return None
    _LOG.info("prediction in %s: %s; differs from the plain network by %.2g", form.framework, form.method, worst)
    return fast


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        raise ValueError(f"it returns {found.shape}, not {expected.shape}")
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), _TINY))
