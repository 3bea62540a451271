"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from typing import Any

from trishift.backends import FRAMEWORKS
from trishift.backends.contract import Execution
from trishift.export.formats import RUNTIMES
from trishift.model.spec import RELATION_MODES


def make_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser whose help ends with examples."""
    return argparse.ArgumentParser(
        prog=f"trishift {name}",
        description=description,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_framework(parser: argparse.ArgumentParser) -> None:
    """Add `--framework`."""
    parser.add_argument("--framework", choices=FRAMEWORKS, default="pytorch", help="default: pytorch")


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Add `--runtime`."""
    parser.add_argument("--runtime", choices=RUNTIMES, help="who runs an exported model; default: its format's own")


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Add `--device` and `--precision`."""
    parser.add_argument("--device", choices=("cpu", "gpu", "ascend"), default="cpu", help="default: cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="default: fp32")
    parser.add_argument("--compile", action="store_true", help="compile the network")
    parser.add_argument("--channels-last", action="store_true", help="NHWC memory format, where there is one")


def execution_of(options: argparse.Namespace) -> Execution:
    """The execution that the arguments ask for."""
    return Execution(
        device=options.device,
        precision=options.precision,
        compile=options.compile or None,  # not asked for: what the framework does best
        channels_last=options.channels_last,
    )


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Add what a foreign weight file may leave open."""
    parser.add_argument("--dialect", help="family of a foreign weight file, where it is not recognized")
    parser.add_argument("--num-segments", type=int, help="frames per clip, where the weights do not tell")
    parser.add_argument("--shift", choices=("none", "block", "blockres"), help="none for a TSN, else TSM's placement")
    parser.add_argument("--shift-div", type=int, help="the shift moves 1/DIV of the channels each way")
    parser.add_argument("--non-local-form", choices=("embedded_gaussian", "dot_product"), help="mmaction2: non-local")
    parser.add_argument("--modality", choices=("rgb", "flow", "rgbdiff"), help="where the channels do not tell")
    parser.add_argument("--labels", metavar="FILE", help="class names: a file, `jester`, or `none`")
    parser.add_argument("--relations", choices=RELATION_MODES, help="TRN: relations to use")


def import_options(options: argparse.Namespace) -> dict[str, Any]:
    """The given import options as keywords of `trishift.load`."""
    names = ("dialect", "num_segments", "shift", "shift_div", "non_local_form", "modality", "labels", "relations")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}
