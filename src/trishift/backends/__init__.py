"""PyTorch, MindSpore and PaddlePaddle behind one protocol (`base.Session`); each folder mirrors the others.

A backend is imported when a session is opened, never before, and one process uses one framework.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Literal, get_args

from trishift.backends.contract import Execution, Session
from trishift.errors import FrameworkError
from trishift.model.spec import ModelSpec

Framework = Literal["pytorch", "mindspore", "paddle"]
FRAMEWORKS: tuple[str, ...] = get_args(Framework)
MODULES = {"pytorch": "torch", "mindspore": "mindspore", "paddle": "paddle"}


def check_framework(framework: str) -> None:
    """Raise a `FrameworkError` with a remedy unless the framework is known and installed."""
    if framework not in FRAMEWORKS:
        raise FrameworkError(f"framework {framework!r} is unknown; one of {', '.join(FRAMEWORKS)}")
    if importlib.util.find_spec(MODULES[framework]) is None:
        raise FrameworkError(f"{framework} is not installed; run: pip install 'trishift[{framework}]'")


def open_session(framework: str, spec: ModelSpec, execution: Execution | None = None, seed: int = 0) -> Session:
    """Build a network in a framework.

    Raises:
        FrameworkError: the framework is unknown, not installed, or lacks the device or precision asked for.
    """
    check_framework(framework)
    module = importlib.import_module(f"trishift.backends.{framework}.session")
    session: Session = module.Session(spec, execution or Execution(), seed)
    return session
