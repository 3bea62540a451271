"""Atomic writes of files and folders.

Content is written to a hidden folder beside the target (`.unfinished-NAME` or `.replacing-NAME`), synced to disk, and
renamed into place. The writer holds a lock on the hidden folder; a leftover that can be locked belongs to a killed
process and is removed by the next writer.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trishift.errors import OutputError
from trishift.io.regular import NUL, is_remote

try:
    import fcntl
except ImportError:  # Windows: no locks, and folders cannot be opened
    fcntl = None  # type: ignore[assignment]

_UNFINISHED = ".unfinished-"
_REPLACING = ".replacing-"
_OLD = ".old"


def write_atomically(path: str | Path, writer: Callable[[BinaryIO], object], *, sync: bool = True) -> None:
    """Create or replace `path` with a file that `writer` fills; see `staged`."""
    with staged(path, sync=sync) as new, new.open("xb") as file:
        writer(file)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8; see `staged`. Surrogate-escaped bytes (non-UTF-8 file names) are written unchanged."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8", errors="surrogateescape")))


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents.

    Raises:
        OutputError: the operating system refuses, it is nested too deeply, or it is the address of an object.
    """
    _refuse_address(path)
    try:
        with _refusals(path):
            path.mkdir(parents=True, exist_ok=True)
    except RecursionError:
        raise OutputError(f"{path}: has too many parent folders; choose a shorter path") from None


def _refuse_address(path: Path) -> None:
    if is_remote(path):
        raise OutputError(f"{path}: results are written to this machine; name a folder here, and copy it afterwards")


def check_writable(path: Path) -> None:
    """Refuse a path that could not be written later, before the work. Nothing remains of the trial, not even a folder.

    Raises:
        OutputError: the operating system refuses.
    """
    _refuse_address(path)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        make_folder(path.parent)
        with scratch(path):
            pass
    finally:
        with suppress(OSError):  # missing, or no longer empty
            for folder in made:
                folder.rmdir()


@contextmanager
def staged(path: str | Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `path` when the block ends without an error.

    An existing file is replaced; a folder must be new. On any failure (full disk, exception, power cut), an existing
    `path` is left untouched and no new file remains. Leftovers of killed processes are removed. Writers of the same
    path wait for each other.

    Args:
        path: target file or folder; its missing parents are created.
        sync: flush to disk before the rename; unnecessary for many files that are easy to recreate.

    Raises:
        OutputError: the operating system refuses (full disk, no permission).
    """
    path = Path(path)
    make_folder(path.parent)
    with scratch(path) as folder:
        new = folder / path.name
        yield new
        _follow_umask(new, folder)
        if sync:
            _sync(new)
        new.replace(path)
        if sync:
            _sync_folder(path.parent)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside `path` for intermediate files; removed afterwards. Raises like `staged`."""
    with _refusals(path), _claimed(path.with_name(f"{_UNFINISHED}{path.name}")) as folder:
        _clear(folder)
        yield folder


@contextmanager
def staged_together(folder: Path, name: str) -> Iterator[Path]:
    """Yield a temporary folder whose entries move to `folder` when the block ends without an error.

    The entries replace existing files and folders as a group. On any failure, the entries of `folder` are left
    untouched and nothing new remains. If the process is killed between two renames, the next call restores the missing
    old entries.

    Args:
        folder: target folder; created if missing.
        name: name of the group; writers of the same group wait for each other.

    Raises:
        OutputError: the operating system refuses.
    """
    with _refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _claimed(folder / f"{_REPLACING}{name}") as stage:
            _put_back(stage / _OLD, folder)
            _clear(stage)
            yield stage
            _follow_umask(stage, stage)
            _sync(stage)
            _publish(stage, folder)
            _sync_folder(folder)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Convert errors of the operating system into OutputErrors that name the path."""
    try:
        if "\0" in str(path):
            raise OSError(errno.EINVAL, NUL)
        yield
    except OSError as error:
        if error.errno is None:  # raised by a library about its input (see `reading_archive`)
            raise
        reason = error.strerror or os.strerror(error.errno)
        raise OutputError(f"{path}: cannot be written ({reason}); nothing was changed, choose another place") from error


@contextmanager
def _claimed(stage: Path) -> Iterator[Path]:
    """Create and lock a folder, or take over that of a killed process; removed afterwards."""
    while True:
        if stage.is_file():  # a leftover of an earlier version
            stage.unlink(missing_ok=True)
        with suppress(FileExistsError):  # raised if its holder removes it at this moment
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
    """Wait for the lock on a folder; yields False if its holder has removed the folder in the meantime."""
    if fcntl is None:
        yield True
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield _is_at(descriptor, folder)
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing isn't enough if a forked process holds a copy
        os.close(descriptor)


def _is_at(descriptor: int, folder: Path) -> bool:
    """Whether an open folder is still at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _publish(stage: Path, folder: Path) -> None:
    """Move entries by rename; old ones are kept in the stage and restored if a rename fails."""
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
    """Restore old entries that are missing from the folder."""
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


def _follow_umask(path: Path, folder: Path) -> None:
    """Give files the mode of `folder`, which follows the umask; libraries and frameworks set modes of their own."""
    if path.is_symlink():
        return
    if path.is_dir():
        for entry in path.iterdir():
            _follow_umask(entry, folder)
        return
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o666
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def _sync(path: Path) -> None:
    """Flush a file, or a folder and its contents, to disk."""
    if path.is_dir():
        for entry in path.iterdir():
            _sync(entry)
        _sync_folder(path)
        return
    with path.open("rb+") as file:  # reopened by name: libraries may have replaced the original file
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames durable, where the system can open folders (not on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
