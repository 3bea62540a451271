"""The command line: `trishift COMMAND ...`; the scripts train.py, eval.py, infer.py and export.py are its commands.

Each command parses, calls the library and exits. Exit status: 0 success, 1 an error explained in one line, 2 a
wrong command line, 130 interrupted by Ctrl-C, 143 terminated (SIGTERM).
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

from trishift.errors import ExecutionError, TrishiftError
from trishift.io.shield import shielded
from trishift.io.terminal import printable, safe_output
from trishift.io.wording import one_of
from trishift.version import __version__

COMMANDS = {
    "train": "train a recipe",
    "probe": "measure what a linear classifier reaches on your clips",
    "curve": "find out what more clips are worth",
    "finetune": "adapt weights to your clips, never below the probe",
    "eval": "evaluate weights on a list of videos",
    "report": "write a run or an evaluation as an HTML page",
    "compare": "compare runs on the same clips",
    "calibrate": "make probabilities reliable, and choose thresholds",
    "merge": "join the results of shards of a list",
    "fuse": "fuse the scores of several models",
    "infer": "predict videos, folders and file lists",
    "stream": "classify a camera, a network stream or a file frame by frame",
    "serve": "answer HTTP requests with predictions",
    "demo": "recognize actions in a web page, live from a camera",
    "timeline": "find out what happens when in long videos",
    "timeline-eval": "compare timelines with the truth",
    "audit": "find out whether a task needs time, or single frames do",
    "explain": "show where a network looks, and what each frame contributes",
    "check": "compare all ways of running a model on one clip",
    "benchmark": "measure a model in every framework and runtime",
    "features": "write activations of named layers, one file per video",
    "export": "write a deployment format",
    "convert": "convert weights between frameworks and code bases",
    "inspect": "describe a weight file",
    "publish": "write a model folder with a model card",
    "push": "upload a model to a hub",
    "models": "list and download published weights",
    "doctor": "examine what is installed here",
    "config": "show a recipe, its differences, or the keys of recipes",
    "completion": "print shell completions",
    "prepare": "turn data sets into lists and labels",
    "quickstart": "train, evaluate and predict on the built-in gestures",
}
ALIASES = {"predict": "infer", "val": "eval"}
_SECONDS_BETWEEN_LOOKS = 0.05


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = ALIASES.get(arguments[0], arguments[0]) if arguments else ""
    if name in COMMANDS:
        sys.exit(run(name, partial(_call, name), arguments[1:]))
    if name and not name.startswith("-"):
        sys.exit(_fail(f"error: {name}: unknown command{one_of(name, [*COMMANDS, *ALIASES])}", 2))
    parser = _top_parser()
    parser.parse_args(arguments)
    parser.print_help()
    sys.exit(0 if not arguments else 2)


def _top_parser(complete: bool = False) -> argparse.ArgumentParser:
    """The parser of `trishift`; if `complete`, with the options of all commands, which takes seconds."""
    parser = argparse.ArgumentParser(prog="trishift", description="Video action recognition in three frameworks.")
    parser.add_argument("--version", action="version", version=f"trishift {__version__}")
    listing = parser.add_subparsers(metavar="COMMAND")
    for name, text in COMMANDS.items():
        aliases = [alias for alias, command in ALIASES.items() if command == name]
        own = [_parser_of(name)] if complete else []
        listing.add_parser(name, help=text, aliases=aliases, add_help=complete, parents=own, conflict_handler="resolve")
    return parser


def run(name: str, command: Callable[[list[str]], None], arguments: Sequence[str]) -> int:
    """Call a command's `main(arguments)`; print its error in one line and return the exit status."""
    work = partial(_run, name, command, arguments)
    return shielded(work) if "MS_ROLE" in os.environ else work()  # set by MindSpore's msrun


def _run(name: str, command: Callable[[list[str]], None], arguments: Sequence[str]) -> int:
    with safe_output(), _terminable(), _interruptible():
        try:
            return _status(name, command, list(arguments))
        except BrokenPipeError:  # whoever read the output has seen enough
            _discard_output()
            return 1


class Terminated(BaseException):
    """SIGTERM: like Ctrl-C, it ends the program from wherever it is, so that temporary files are removed."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn the first SIGTERM into an exception; the second one has its usual effect. Training handles it itself."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C wait for the end of an import, inside which compiled modules turn it into an ImportError."""
    ours = signal.getsignal(signal.SIGINT) == signal.default_int_handler and hasattr(signal, "setitimer")
    if not (ours and threading.current_thread() is threading.main_thread()):
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    previous = signal.signal(signal.SIGALRM, _interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _SECONDS_BETWEEN_LOOKS)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated


def _call(name: str, arguments: list[str]) -> None:
    """Import a command, which can take seconds, and call it."""
    _main_of(name)(arguments)


def _main_of(name: str) -> Callable[[list[str]], None]:
    if name == "completion":
        return _completion
    main: Callable[[list[str]], None] = importlib.import_module(f"trishift.commands.{name.replace('-', '_')}").main
    return main


def _parser_of(name: str) -> argparse.ArgumentParser:
    from trishift.commands.shared.parser import parser_of

    return parser_of(_main_of(name))


def _completion(arguments: list[str]) -> None:
    """Print the completions of all commands and options for a shell."""
    from trishift.commands.shared.parser import make_parser

    examples = "  trishift completion zsh > ~/.zfunc/_trishift      (in a folder of fpath)\n"
    examples += '  eval "$(trishift completion bash)"                (in ~/.bashrc)\n'
    parser = make_parser("completion", "Print shell completions of commands and options.", examples)
    parser.add_argument("shell", choices=["bash", "zsh"])
    options = parser.parse_args(arguments)

    import shtab

    print(shtab.complete(_top_parser(complete=True), shell=options.shell))


def _status(name: str, command: Callable[[list[str]], None], arguments: list[str]) -> int:
    try:
        command(arguments)
        sys.stdout.flush()  # a full disk or a closed pipe is an error of this command
    except BrokenPipeError:
        raise
    except Terminated:
        return _fail("terminated", 143)
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted", 130)
    except TrishiftError as error:
        from trishift.training.interruption import Interrupted

        if isinstance(error, Interrupted):
            return _fail(str(error), 130)
        return _fail(f"error: {_phrased(name, error)}", 1)
    except OSError as error:
        if error.filename is None:  # probably stdout itself, on a full disk
            _discard_output()
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"error: {place}{error.strerror or error}", 1)
    return 0


def _phrased(name: str, error: TrishiftError) -> str:
    """The text of an error, with settings as the caller of the command spells them."""
    from trishift.commands.shared.arguments import spelled

    return error.phrased(partial(spelled, name)) if isinstance(error, ExecutionError) else str(error)


def _fail(text: str, status: int) -> int:
    print(printable(text), file=sys.stderr)
    return status


def _discard_output() -> None:
    """Send the rest of stdout nowhere, so that the interpreter does not complain when it flushes it at exit."""
    with suppress(OSError, ValueError):  # a stream of a test has no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
