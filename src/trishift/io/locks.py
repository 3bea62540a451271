"""Locks between processes, which the operating system releases when their holder ends, even by kill -9."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOG = logging.getLogger(__name__)
_LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Lock a folder without waiting; it contains the file `.lock` in the meantime.

    On file systems without locks, a warning is logged and the folder counts as locked by this process.

    Yields:
        Whether this process holds the lock; False if another one does.

    Raises:
        OSError: the folder does not exist or is not writable.
    """
    with locked_by(folder / _LOCK) as ours:
        yield ours


@contextmanager
def locked_by(path: Path) -> Iterator[bool]:
    """Lock with a file of our own, which exists in the meantime; otherwise like `locked`."""
    descriptor = _open_locked(path)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):
            path.unlink()  # while locked: a process that opened it earlier compares it with the new one
        _close(descriptor)


def _open_locked(path: Path) -> int | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is None:
                raise OSError("no file locks")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            _LOG.warning(
                "%s: this file system has no locks (%s); do not run two processes in this folder", path.parent, error
            )
            return descriptor
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # its last holder has removed it


def _close(descriptor: int) -> None:
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough if a forked process has a copy
    os.close(descriptor)
