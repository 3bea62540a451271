"""The command line: `trishift COMMAND ...`; the scripts train.py, eval.py, infer.py and export.py are its commands.

Each command parses, calls the library and exits. Exit status: 0 success, 1 an error explained in one line,
130 interrupted and saved.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial

from trishift.errors import ExecutionError, TrishiftError

COMMANDS = {
    "train": "train a recipe",
    "eval": "evaluate weights on a list of videos",
    "fuse": "fuse the scores of several models",
    "infer": "predict videos, folders and file lists",
    "stream": "classify a camera, a network stream or a file frame by frame",
    "features": "write activations of named layers, one file per video",
    "export": "write a deployment format",
    "convert": "convert weights between frameworks and code bases",
    "inspect": "describe a weight file",
    "prepare": "turn data sets into lists and labels",
    "quickstart": "train, evaluate and predict on the built-in gestures",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] in COMMANDS:
        module = importlib.import_module(f"trishift.commands.{arguments[0]}")
        sys.exit(run(arguments[0], module.main, arguments[1:]))
    parser = argparse.ArgumentParser(prog="trishift", description="Video action recognition in three frameworks.")
    listing = parser.add_subparsers(metavar="COMMAND")
    for name, text in COMMANDS.items():
        listing.add_parser(name, help=text, add_help=False)
    parser.parse_args(arguments)
    parser.print_help()
    sys.exit(0 if not arguments else 2)


def run(name: str, command: Callable[[list[str]], None], arguments: Sequence[str]) -> int:
    """Call a command's `main(arguments)`; print its error in one line and return the exit status."""
    from trishift.commands.shared.arguments import spelled
    from trishift.training.interruption import Interrupted

    try:
        command(list(arguments))
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 130
    except ExecutionError as error:
        print(f"error: {error.phrased(partial(spelled, name))}", file=sys.stderr)
        return 1
    except TrishiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    return 0
