"""Folders of what can be fetched again, of bounded size."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from trishift.io.locks import locked
from trishift.io.storage.settings import positive


def allowed_bytes() -> int:
    """The largest size of a folder: `TRISHIFT_REMOTE_CACHE_GB`, or 10 GB.

    Raises:
        SettingError: the variable holds something else than a positive number.
    """
    return int(positive("TRISHIFT_REMOTE_CACHE_GB", 10) * 1e9)


def remove_oldest(folder: Path, limit: int, spared: float = 0.0) -> None:
    """Remove the files and folders in a folder that were changed longest ago, until the others are small enough.

    Args:
        folder: several processes may share it.
        limit: bytes that may stay.
        spared: seconds; what was changed within them stays.
    """
    newest = time.time_ns() - int(spared * 1e9)
    entries = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process has removed it
            entries.append((path.stat().st_mtime_ns, _size(path), path))
    total = sum(size for _, size, _ in entries)
    for changed, size, path in sorted(entries):
        if total <= limit or changed > newest:
            break
        with suppress(OSError):
            _remove(path)
        total -= size


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink()
        return
    with locked(path) as ours:  # unless another process is writing there
        if ours:
            shutil.rmtree(path, ignore_errors=True)
