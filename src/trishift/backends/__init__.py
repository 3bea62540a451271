"""PyTorch, MindSpore and PaddlePaddle behind one class (`session.Session`). The three folders mirror each other.

A backend is imported when a session is opened, not before. A process uses one framework.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal, get_args

from trishift.backends.contract import Device, Execution, Program, Ranks
from trishift.backends.fast_forms import FormName
from trishift.backends.program import ProgramSpec
from trishift.backends.session import Session
from trishift.errors import FrameworkError, install_hint
from trishift.model.spec import ModelSpec
from trishift.model.tensors import Tensors

Framework = Literal["pytorch", "mindspore", "paddle"]
FRAMEWORKS: tuple[str, ...] = get_args(Framework)
MODULES = {"pytorch": "torch", "mindspore": "mindspore", "paddle": "paddle"}
PACKAGES = {"pytorch": "torch", "mindspore": "mindspore", "paddle": "paddlepaddle"}  # as pip names them


def check_framework(framework: str) -> None:
    """Raise a `FrameworkError` with a remedy unless the framework is known and installed."""
    if framework not in FRAMEWORKS:
        raise FrameworkError(f"framework {framework!r} is unknown; one of {', '.join(FRAMEWORKS)}")
    if importlib.util.find_spec(MODULES[framework]) is None:
        raise FrameworkError(f"{framework} is not installed; {install_hint(framework)}")


def find_device(framework: str) -> Device:
    """The best device that a framework finds here.

    Raises:
        FrameworkError: the framework is unknown or not installed.
    """
    return _backend(framework).find_device()


def join(framework: str, execution: Execution) -> Ranks:
    """Join the processes that a framework's launcher started; this process alone unless `execution.distributed`.

    Raises:
        FrameworkError: the framework is unknown, not installed, cannot use the device, or there is no launcher.
    """
    return _backend(framework).join(execution)


def open_session(
    framework: str,
    spec: ModelSpec,
    execution: Execution | None = None,
    seed: int = 0,
    weights: Tensors | None = None,
    form: FormName = "native",
    strict: bool = False,
    ranks: Ranks | None = None,
) -> Session:
    """Build a network in a framework, with weights or initial ones drawn from a seed; see `Session`.

    Raises:
        CheckpointError: the weights do not fit the network.
        FrameworkError: the framework is unknown, not installed, or does not support the requested device or precision.
    """
    return _backend(framework)(spec, execution or Execution(), seed, weights, form, strict, ranks)


def open_program(framework: str, path: Path, spec: ProgramSpec, execution: Execution) -> Program:
    """Open a program in the framework that exported it.

    Raises:
        FrameworkError: the framework is unknown, not installed, or cannot use the device.
    """
    return _backend(framework).open_program(path, spec, execution)


def _backend(framework: str) -> type[Session]:
    check_framework(framework)
    if framework == "pytorch":
        from trishift.backends.pytorch.session import Session as PyTorchSession

        return PyTorchSession
    if framework == "mindspore":
        from trishift.backends.mindspore.session import Session as MindSporeSession

        return MindSporeSession
    from trishift.backends.paddle.session import Session as PaddleSession

    return PaddleSession
