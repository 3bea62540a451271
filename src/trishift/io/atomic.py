"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from trishift.errors import CheckpointError


def write_atomically(path: str | Path, writer: Callable[[BinaryIO], object]) -> None:
    """Let `writer` fill a new file and move it to `path` once it is safely on the disk.

    The bytes go to a temporary file in the same folder, which replaces `path` in one rename. Whatever happens
    before that (full disk, exception, power cut) leaves an existing `path` as it was and no new file behind.

    Raises:
        CheckpointError: the operating system refuses (full disk, missing folder, no permission).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                writer(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error.strerror or error}); nothing was changed") from error


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; systems that cannot open folders (Windows) do without."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
