"""Outputs in stores: written on this machine, and copied to their address."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.outputs import check_file, check_suffix
from trishift.errors import OutputError
from trishift.io.atomic import make_folder
from trishift.io.locks import locked
from trishift.io.regular import is_remote

if TYPE_CHECKING:
    from trishift.io.storage.folders import FolderCopy


@contextmanager
def written_folder(folder: Path, output: Path, *, continues: bool = False) -> Iterator[FolderCopy | None]:
    """Yield the copy of an output folder in a store; everything is sent there in the end.

    Args:
        folder: as the user named it; if it is on this machine, there is no copy.
        output: the same, or the file in it that is written.
        continues: begin with what the store has; otherwise with nothing. Files that could not be sent last time stay.

    Raises:
        OutputError: the store cannot be written, before the work, or lacks something in the end; or another process
            writes the output.
    """
    if not is_remote(folder):
        yield None
        return
    from trishift.io.storage.folders import FolderCopy
    from trishift.training.run_folder import LAST
    from trishift.training.stored_run import sent_finally, work_folder

    copy = FolderCopy(folder, work_folder(output), (LAST,), lambda name: continues)
    found = copy.open()
    make_folder(copy.folder)
    with locked(copy.folder) as ours:
        if not ours:
            raise OutputError(f"{output}: another process is writing it; wait for it, or choose another --output")
        if not copy.lacks:
            _clear(copy.folder)
            if continues:
                copy.fetch(found)
        with sent_finally(copy):
            yield copy


@contextmanager
def written_file(output: Path | None, suffixes: Collection[str]) -> Iterator[tuple[Path | None, FolderCopy | None]]:
    """Yield the path on this machine of an output file, beside which others are written, and the copy of its folder.

    Raises:
        OutputError: as `check_file` and `written_folder`.
    """
    if output is None or not is_remote(output):
        if output is not None:
            check_file(output, suffixes)
        yield output, None
        return
    check_suffix(output, suffixes)
    with written_folder(output.parent, output) as copy:
        assert copy is not None
        yield copy.folder / output.name, copy


def place_of(path: Path, copy: FolderCopy | None) -> str:
    """Where an output is to be found, for messages."""
    return str(path) if copy is None else copy.place_of(path)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif not entry.name.startswith("."):
            entry.unlink()
