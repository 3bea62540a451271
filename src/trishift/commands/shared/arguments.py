"""Arguments shared by several commands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any, get_args

from trishift.backends import FRAMEWORKS
from trishift.backends.contract import Execution, Precision
from trishift.backends.fast_forms import OF_NETWORKS
from trishift.checkpoints.answers import OPTIONS, flag
from trishift.checkpoints.verification import TOLERANCE
from trishift.commands.shared.devices import add_device, device_of
from trishift.commands.shared.outputs import status
from trishift.errors import RecipeError
from trishift.export.formats import ALIASES, RUNTIMES, runtime_named
from trishift.zoo.sources import WeightSource

NETWORKS = tuple(OF_NETWORKS)
SCRIPT_MARK = "TRISHIFT_SCRIPT"  # environment variable that scripts/launch.sh sets


def add_checkpoint(parser: argparse.ArgumentParser, text: str) -> None:
    """Add `--checkpoint`; `text` says which weights the command takes."""
    places = "a file, a run folder, a published name (see `trishift models`), or an address (https://, hf://, ms://)"
    parser.add_argument("--checkpoint", type=WeightSource, required=True, help=f"{text}: {places}")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add `--batch-size`, `--workers` and `--shard`."""
    parser.add_argument("--batch-size", type=int, default=8, help="videos and views per forward pass; default: 8")
    parser.add_argument("--workers", type=int, default=2, help="threads or processes that read clips; default: 2")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="process only part I of N, counted from 1")


def check_positive(options: argparse.Namespace, *names: str) -> None:
    """Refuse counts below 1.

    Raises:
        RecipeError: names the option.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise RecipeError(f"--{name.replace('_', '-')} must be 1 or more, not {value}")


def add_protocol(parser: argparse._ActionsContainer, default: str) -> None:
    """Add `--protocol`."""
    text = f"evaluation protocol: a name such as dense, or CLIPSxCROPS such as 10x3; default: {default}"
    parser.add_argument("--protocol", help=text)


def add_framework(parser: argparse.ArgumentParser) -> None:
    """Add `--framework`."""
    parser.add_argument("--framework", choices=FRAMEWORKS, default="pytorch", help="default: pytorch")


def add_runtime(parser: argparse.ArgumentParser, *, layers: bool = False) -> None:
    """Add `--runtime` and `--compile`; with `layers`, only forms that compute features."""
    networks = "auto: the fastest exact form, weights fused where their framework can do that"
    if layers:
        choices, text = NETWORKS[:2], f"{networks}; native: weights as is; default: auto"
    else:
        choices = (*NETWORKS, *RUNTIMES, *ALIASES)
        text = (
            f"{networks}, an exported model in its format's own runtime; native: weights as is; compiled: weights, "
            "compiled by their framework; others: an exported model, or the program of weights (made once)"
        )
        parser.add_argument("--compile", action="store_true", help="an older name of --runtime compiled")
    parser.add_argument("--runtime", choices=choices, default="auto", help=text)


def runtime_of(options: argparse.Namespace) -> str:
    """The runtime in the arguments.

    Raises:
        RecipeError: `--compile` contradicts `--runtime`.
    """
    if not getattr(options, "compile", False):
        return runtime_named(options.runtime)
    if options.runtime not in ("auto", "compiled"):
        raise RecipeError(f"--compile: means --runtime compiled, not {options.runtime}; remove one of them")
    status("note: --compile is an older name of --runtime compiled")
    return "compiled"


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Add `--device`, `--precision` and the like."""
    add_device(parser)
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32", help="default: fp32")
    parser.add_argument(
        "--channels-last",
        action=argparse.BooleanOptionalAction,
        help="NHWC memory format, where available; default: where PyTorch is faster with it",
    )


def execution_of(options: argparse.Namespace, say: Callable[[str], object] = status) -> Execution:
    """The execution settings in the arguments; `say` gets a line about an automatic choice of the device."""
    return Execution(
        device=device_of(options, say),
        precision=options.precision,
        channels_last=options.channels_last,
    )


def add_tolerance(parser: argparse._ActionsContainer) -> None:
    """Add `--tolerance`."""
    text = f"largest relative difference of scores; default: {TOLERANCE:g}"
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help=text)


def spelled(command: str, setting: str, value: object) -> str:
    """How the caller sets a field of `Execution`: a variable in scripts, else an option or a recipe entry."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if setting == "device" and SCRIPT_MARK in os.environ:
        return f"DEVICE={text}"
    return f"execution.{setting}={text}" if command == "train" else f"--{setting.replace('_', '-')} {text}"


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that resolve ambiguities of foreign weight files."""
    parser.add_argument("--dialect", help="family of a foreign weight file, if it is not recognized")
    for name, option in OPTIONS.items():
        parser.add_argument(flag(name), type=option.type, choices=option.choices, help=option.help)


def import_options(options: argparse.Namespace) -> dict[str, Any]:
    """The import options given, as keyword arguments of `trishift.load`."""
    return {name: value for name in ("dialect", *OPTIONS) if (value := getattr(options, name)) is not None}
