"""Files and folders that appear whole or not at all.

They are written in a hidden folder beside their place, `.unfinished-NAME` or `.replacing-NAME`, and moved there by a
rename once they are safely on the disk. The hidden folder stays locked while its writer lives: whoever can lock a
leftover knows that its writer was killed, and clears it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trishift.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows does without locks, and cannot open folders
    fcntl = None  # type: ignore[assignment]

_UNFINISHED = ".unfinished-"
_REPLACING = ".replacing-"
_OLD = ".old"


def write_atomically(path: str | Path, writer: Callable[[BinaryIO], object], *, sync: bool = True) -> None:
    """Let `writer` fill a new file, which then takes the place of `path`; see `staged`."""
    with staged(path, sync=sync) as new, new.open("xb") as file:
        writer(file)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8; see `staged`. Undecodable bytes of file names survive."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8", errors="surrogateescape")))


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing; raises OutputError if the system refuses."""
    with _refusals(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def staged(path: str | Path, *, sync: bool = True) -> Iterator[Path]:
    """A place for a new file or folder called like `path`, which it becomes when the block ends without an error.

    A file takes the place of an older one; a folder must be new. Whatever goes wrong before that (full disk,
    exception, power cut) leaves `path` as it was and no new file behind; what a killed process left is cleared.
    Writers of the same path wait for each other.

    Args:
        path: in a folder that exists.
        sync: wait for the disk; not worth it for masses of files that can be made again.

    Raises:
        OutputError: the operating system refuses (full disk, missing folder, no permission).
    """
    path = Path(path)
    with scratch(path) as folder:
        new = folder / path.name
        yield new
        if sync:
            _sync(new)
        new.replace(path)
        if sync:
            _sync_folder(path.parent)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """An empty hidden folder beside `path`, for its making; removed in the end. Raises as `staged`."""
    with _refusals(path), _claimed(path.with_name(f"{_UNFINISHED}{path.name}")) as folder:
        _clear(folder)
        yield folder


@contextmanager
def staged_together(folder: Path, name: str) -> Iterator[Path]:
    """A temporary folder whose entries move to `folder` when the block ends without an error.

    They take the places of older files and folders together. Whatever goes wrong leaves the entries of `folder` as
    they were, and nothing behind; if the process is killed between two renames, the next call completes what is
    missing with the older entries.

    Args:
        folder: made if missing.
        name: of the group; writers of the same group wait for each other.

    Raises:
        OutputError: the operating system refuses.
    """
    with _refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _claimed(folder / f"{_REPLACING}{name}") as stage:
            _put_back(stage / _OLD, folder)
            _clear(stage)
            yield stage
            _sync(stage)
            _publish(stage, folder)
            _sync_folder(folder)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into one that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a library's error of its own, about what it reads
            raise
        reason = error.strerror or os.strerror(error.errno)
        raise OutputError(f"{path}: cannot be written ({reason}); nothing was changed, choose another place") from error


@contextmanager
def _claimed(stage: Path) -> Iterator[Path]:
    """Make a folder, or take over that of a killed process; removed in the end."""
    while True:
        if stage.is_file():  # a leftover of an earlier version
            stage.unlink()
        stage.mkdir(exist_ok=True)
        with _locked(stage) as is_ours:
            if is_ours:
                try:
                    yield stage
                finally:
                    shutil.rmtree(stage, ignore_errors=True)
                return


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Wait for the lock of a folder; False if its holder has removed the folder in the meantime."""
    if fcntl is None:
        yield True
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        with suppress(OSError):  # some network disks know no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat())
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough where a forked process has a copy
        os.close(descriptor)


def _publish(stage: Path, folder: Path) -> None:
    """Move entries by rename; old ones wait in the stage, and return if a rename fails."""
    entries, old = list(stage.iterdir()), stage / _OLD
    old.mkdir()
    moved: list[Path] = []
    try:
        for entry in entries:
            target = folder / entry.name
            if target.exists():
                target.rename(old / entry.name)
            moved.append(target)
            entry.rename(target)
    except BaseException:
        for target in moved:
            _remove(target)
        _put_back(old, folder)
        raise


def _put_back(old: Path, folder: Path) -> None:
    """Return old entries whose places are empty."""
    for entry in old.iterdir() if old.is_dir() else ():
        if not (folder / entry.name).exists():
            entry.rename(folder / entry.name)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file, or a folder with all that it holds, on the disk."""
    if path.is_dir():
        for entry in path.iterdir():
            _sync(entry)
        _sync_folder(path)
        return
    with path.open("rb+") as file:  # by name: libraries may have replaced the file that was opened first
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames durable; systems that cannot open folders (Windows) do without."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
