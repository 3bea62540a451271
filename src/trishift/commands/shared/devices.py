"""The `--device` option: names from any framework, one of which is chosen automatically by default."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable

from trishift.backends import find_device
from trishift.backends.contract import Device
from trishift.backends.fast_forms import OF_NETWORKS
from trishift.commands.shared.outputs import status
from trishift.errors import FrameworkError, RecipeError
from trishift.export.formats import runtime_named
from trishift.export.opening import describe, is_exported
from trishift.export.runtimes import find_device as find_runtime_device
from trishift.zoo.sources import weight_source

_NAMES: dict[str, Device] = {"cpu": "cpu", "cuda": "gpu", "gpu": "gpu", "npu": "ascend", "ascend": "ascend"}
AUTO = "auto"
CHOICES = "auto, cpu, gpu, cuda, cuda:1, npu"
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def add_device(
    parser: argparse._ActionsContainer, default: str = "auto, the best device that the framework finds"
) -> None:
    """Add `--device`, which is `auto` unless given; `default` describes that for the command."""
    parser.add_argument("--device", default=AUTO, metavar="DEVICE", help=f"{CHOICES}; default: {default}")


def device_of(options: argparse.Namespace, say: Callable[[str], object] = status) -> Device:
    """The device of `--device` as in `Execution`: `cpu`, `gpu` or `ascend`.

    Args:
        options: arguments with `device`, `framework`, and `checkpoint` and `runtime` where the command has them.
        say: called with one line if the choice is automatic.

    Raises:
        RecipeError: the device is unknown or not supported.
    """
    if options.device != AUTO:
        return named_device(options.device)
    runner, device = _automatic(options)
    say(f"device: {device} (chosen automatically for {runner}; --device selects another one)")
    return device


def named_device(text: str) -> Device:
    """The device that a name means, as in `Execution`.

    With a number (`cuda:1`), all other GPUs are hidden from this process, which must not have used one yet.

    Raises:
        RecipeError: the device is unknown or not supported.
    """
    name, _, number = text.partition(":")
    if name == "mps":
        raise RecipeError(
            "--device mps: results on Apple GPUs have never been compared with those on a CPU, so Trishift does not "
            "use them; use --device cpu"
        )
    if name not in _NAMES or (":" in text and not (re.fullmatch(r"\d{1,3}", number) and name != "cpu")):
        raise RecipeError(f"--device {text}: is unknown; use {CHOICES}")
    if number:
        _select(text, _NAMES[name], int(number))
    return _NAMES[name]


def _automatic(options: argparse.Namespace) -> tuple[str, Device]:
    """The framework or runtime that runs the model, and its best device."""
    weights = weight_source(options.checkpoint) if "checkpoint" in options else None
    if weights is not None:
        weights.check()  # before a framework is imported
    runtime = runtime_named(getattr(options, "runtime", "auto"))
    local = None if weights is None else weights.local
    exported = local is not None and is_exported(local)
    if local is not None and exported:
        chosen = None if runtime == "auto" else runtime
        runtime = describe(local).format.choose_runtime(chosen)  # refuses damaged exports, too
    if runtime not in OF_NETWORKS:
        try:
            return runtime, find_runtime_device(runtime)
        except FrameworkError:
            if exported or getattr(options, "strict", True):
                raise
    return options.framework, find_device(options.framework)


def _select(text: str, device: Device, number: int) -> None:
    """Hide all GPUs but one, by the variable that every framework reads."""
    if device != "gpu":
        raise RecipeError(f"--device {text}: numbers are for GPUs; use --device npu and ASCEND_RT_VISIBLE_DEVICES")
    visible = os.environ.get(_VISIBLE)
    if visible is None:
        os.environ[_VISIBLE] = str(number)
        return
    known = [entry for entry in visible.split(",") if entry]
    if number >= len(known):
        raise RecipeError(f"--device {text}: {_VISIBLE}={visible} has only {len(known)} GPUs, numbered from 0")
    os.environ[_VISIBLE] = known[number]
