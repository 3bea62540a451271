"""The choice of a run folder: an old run is never touched unless asked, and one process trains in it at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import numpy as np

from trishift.backends.contract import Ranks
from trishift.backends.session import Session
from trishift.errors import OutputError, TrishiftError
from trishift.io.atomic import make_folder
from trishift.io.locks import locked
from trishift.training.run_folder import holds_run


@contextmanager
def claimed(session: Session, output: Path, *, in_place: bool) -> Iterator[Path]:
    """Create and lock a run folder. Rank 0 decides; all ranks get its path.

    A folder that holds a run, or in which another process is training, is left alone: `output`-2 is used instead, or
    the next free number. If the block fails before anything is written, the folder is removed again.

    Args:
        session: the ranks.
        output: the folder asked for.
        in_place: use `output` itself, to resume or replace the run in it.

    Raises:
        OutputError: the folder cannot be written, or, if `in_place`, another process is training in it.
    """
    with ExitStack() as stack:
        yield Path(on_leader(session, lambda: str(_claim(output, stack, in_place=in_place))))


def _claim(output: Path, stack: ExitStack, *, in_place: bool) -> Path:
    for path in _candidates(output):
        if not in_place and holds_run(path):
            continue
        attempt = stack.enter_context(ExitStack())
        if not _lock(path, attempt):
            if in_place:
                raise OutputError(
                    f"{path}: another process is training in this folder; wait for it or choose another --output"
                )
        elif in_place or not holds_run(path):  # it may have become a run in the meantime
            if path != output:
                print(
                    f"{output} holds a run already; this one goes to {path} (--resume continues, --overwrite replaces)"
                )
            return path
        attempt.close()
    raise AssertionError("there is always another number")


def _candidates(output: Path) -> Iterator[Path]:
    yield output
    yield from (output.with_name(f"{output.name}-{number}") for number in count(2))


def _lock(path: Path, stack: ExitStack) -> bool:
    created = not path.exists()
    make_folder(path)
    if created:
        stack.callback(_remove_if_empty, path)
    try:
        return stack.enter_context(locked(path))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --output") from error


def _remove_if_empty(path: Path) -> None:
    with suppress(OSError):
        path.rmdir()


def check_space(path: Path, needed: int) -> None:
    """Refuse a folder on a disk with less than `needed` free bytes.

    Raises:
        OutputError: there is too little space for a checkpoint.
    """
    free = shutil.disk_usage(path).free
    if free < needed:
        raise OutputError(
            f"{path}: a checkpoint takes {needed / 1e6:,.0f} MB, but only {free / 1e6:,.0f} MB are free; "
            "free some space or choose another --output"
        )


def on_leader(session: Session, task: Callable[[], str]) -> str:
    """Run a task on rank 0; every rank returns its text, or raises its error."""
    if session.world_size == 1:
        return task()
    message = ""
    if session.rank == 0:
        try:
            message = f"+{task()}"
        except TrishiftError as error:
            message = f"-{error}"
    message = gather_texts(session, message)[0]
    if message.startswith("-"):
        raise OutputError(message[1:])
    return message[1:]


def gather_texts(session: Session | Ranks, text: str) -> list[str]:
    """The texts of all ranks, in rank order."""
    data = np.frombuffer(text.encode("utf-8", errors="surrogateescape"), np.uint8)
    lengths = session.gather(np.array([len(data)], np.int64))
    padded = np.zeros((1, int(lengths.max()) or 1), np.uint8)
    padded[0, : len(data)] = data
    rows = session.gather(padded)
    return [
        row[:length].tobytes().decode("utf-8", errors="surrogateescape")
        for row, length in zip(rows, lengths, strict=True)
    ]
