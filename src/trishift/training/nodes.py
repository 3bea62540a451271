"""The processes of a run on one or several machines (nodes): they end together, and must agree before they train."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trishift.backends import PACKAGES, join
from trishift.backends.contract import Ranks
from trishift.backends.session import Session
from trishift.data.spec import DataSpec
from trishift.errors import TrainingError, TrishiftError, brief
from trishift.io.lifeline import Lifeline
from trishift.io.packages import installed
from trishift.io.regular import is_remote
from trishift.io.shield import starter
from trishift.io.storage import read_bytes
from trishift.recipe import Recipe, recipe_from_dict, recipe_to_dict
from trishift.recipe.keys import differences
from trishift.training.interruption import Interrupted
from trishift.training.output import gather_texts
from trishift.version import __version__, version_of

_JOINING = 60  # seconds between the starts of the first and the last process
_WATCHDOG = """
import os, select, signal, sys
if not select.select([0], [], [], float(sys.argv[1]))[0]:  # no news: its parent still waits
    print(f"error: some processes of the run have not started within {sys.argv[1]} s; "
          "see what they print on their machines", file=sys.stderr, flush=True)
    os.kill(int(sys.argv[2]), signal.SIGKILL)
"""
_LAST_WORDS = 3.0  # seconds for the news of another process's end, which an error of the framework often follows
_SECONDS_BETWEEN_LOOKS = 1.0  # at the launcher
_LAST_STEP = 30.0  # seconds to finish a step and save it
_SHOWN_DIGITS = 12  # of a hash, in messages
_OWN = {"root", "clips", "cache", "workers", "worker_type"}  # entries of `data` that may differ between machines


@contextmanager
def joined(framework: str, recipe: Recipe, advice: Callable[[], str]) -> Iterator[Ranks | None]:
    """Join the processes of a run; if one is gone or fails, the others end within a minute and say which one.

    Args:
        framework: whose launcher started the processes.
        recipe: the recipe; unless it is distributed, there is nothing to join, and the block gets None.
        advice: what to do after a failure, in a few words.

    Raises:
        FrameworkError: there is no launcher.
        TrainingError: the processes cannot reach each other, or have other code, recipes or lists.
    """
    if not recipe.execution.distributed:
        yield None
        return
    with _deadline():
        ranks = join(framework, recipe.execution)
    try:
        with _launched(ranks, advice):
            if ranks.world_size == 1:
                yield ranks
            else:
                with _watched(ranks, advice):
                    _check_agreement(ranks, framework, recipe)
                    yield ranks
    finally:
        ranks.close()


@contextmanager
def _deadline() -> Iterator[None]:
    """Do not wait for a process forever that failed before it could join the others."""
    # A thread would not do: while Paddle waits, it holds the interpreter lock.
    words = [sys.executable, "-ISc", _WATCHDOG, str(_JOINING), str(os.getpid())]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as watchdog:
        yield
        watchdog.communicate(b"joined")


@contextmanager
def _launched(ranks: Ranks, advice: Callable[[], str]) -> Iterator[None]:
    """Stop when the launcher has ended, as after SIGTERM, which it cannot send any more.

    Launchers of other machines would wait for it for minutes after the last epoch.
    """
    launcher, ended = starter(), threading.Event()
    reason = f"the launcher of rank {ranks.rank} on {socket.gethostname()} is gone"

    def watch() -> None:
        while starter() == launcher:  # msrun without --join has ended by now
            if ended.wait(_SECONDS_BETWEEN_LOOKS):
                return
        print(reason, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        if not ended.wait(_LAST_STEP):
            _end(f"{reason}; {advice()}")

    threading.Thread(target=watch, name="launcher", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _end(reason: str) -> None:
    """End this process, whose main thread may be waiting for another one that is gone."""
    sys.stdout.flush()
    print(f"error: {reason}", file=sys.stderr, flush=True)
    os._exit(1)


@contextmanager
def _watched(ranks: Ranks, advice: Callable[[], str]) -> Iterator[None]:
    def end(sentence: str) -> None:
        _end(f"{sentence}; {advice()}")

    def gather(text: str) -> list[str]:
        return gather_texts(ranks, text)

    try:
        lifeline = Lifeline(ranks.rank, ranks.world_size, ranks.address, gather, end)
    except OSError as error:
        raise TrainingError(f"{error}; let the machines of a run connect to each other on any port") from None
    try:
        yield
    except Interrupted:
        lifeline.close()
        raise
    except Exception as error:
        if not isinstance(error, TrishiftError):
            time.sleep(_LAST_WORDS)
        lifeline.close(brief(error, 2000))
        raise
    except BaseException as stop:
        lifeline.close(f"was stopped ({type(stop).__name__})")
        raise
    lifeline.close()


def _check_agreement(ranks: Ranks, framework: str, recipe: Recipe) -> None:
    """Refuse to train with processes that have other code, another recipe or other lists than rank 0.

    Settings and paths that may differ between machines, such as `data.root`, are not compared.

    Raises:
        TrainingError: a process differs; the message names the first one and the first difference. On all ranks.
    """
    package, version = installed(PACKAGES[framework]) or (PACKAGES[framework], "unknown")
    facts = {
        "Trishift": __version__,
        package: version,
        "code": version_of(".")[:_SHOWN_DIGITS],
        "recipe": recipe_to_dict(recipe),
        **_lists(recipe.data),
    }
    _compare(ranks, facts)


def check_start(session: Session) -> None:
    """Refuse to train with processes that start from other weights than rank 0, for instance of an older checkpoint.

    Raises:
        TrainingError: a process differs, as in `joined`.
    """
    if session.world_size > 1:
        tensors, digest = session.dump_tensors(), hashlib.sha256()
        for name in sorted(tensors):
            digest.update(tensors[name].tobytes())
        _compare(session, {"weights": digest.hexdigest()[:_SHOWN_DIGITS]})


def _compare(ranks: Ranks | Session, facts: Mapping[str, Any]) -> None:
    texts = gather_texts(ranks, json.dumps({"host": socket.gethostname(), **facts}))
    first, *others = map(json.loads, texts)
    for rank, other in enumerate(others, 1):
        if found := _difference(first, other):
            what, here, there = found
            raise TrainingError(
                f"rank {rank} on {other['host']} has {what} {there}, but rank 0 on {first['host']} has {here}; "
                "give all machines the same code, recipe, lists and weights"
            )


def _difference(first: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The first fact in which two processes differ: its name and both values."""
    for name in first:
        if name == "recipe":
            pairs = differences(*(recipe_from_dict(_shared(each[name])) for each in (other, first)))
            if pairs:
                return pairs[0]
        elif name != "host" and first[name] != other.get(name):
            return name, first[name], other.get(name, "none")
    return None


def _shared(recipe: dict[str, Any]) -> dict[str, Any]:
    """The part of a recipe that must be the same on all machines."""
    data = {name: value for name, value in recipe.get("data", {}).items() if name not in _OWN}
    return {**recipe, "data": data}


def _lists(data: DataSpec) -> dict[str, str]:
    names = {"list": data.train_list, "validation list": data.val_list, "class names": data.labels}
    paths = {f"{key} {name}": data.path(name) for key, name in names.items() if name}
    return {key: _digest(path) for key, path in paths.items() if is_remote(path) or path.is_file()}


def _digest(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()[:_SHOWN_DIGITS]
