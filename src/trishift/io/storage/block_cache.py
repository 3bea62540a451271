"""A folder of blocks that were fetched, of bounded size: `TRISHIFT_REMOTE_CACHE`, `TRISHIFT_REMOTE_CACHE_GB` (10)."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cache
from pathlib import Path

from trishift.errors import OutputError, brief
from trishift.io.atomic import write_atomically
from trishift.io.storage.bounding import allowed_bytes, remove_oldest

_LOG = logging.getLogger(__name__)
_SHARE = 0.05  # of the bound may be written between two looks at the folder


class BlockCache:
    """Blocks on disk; several processes may share the folder.

    Args:
        folder: created if missing.
        limit: bytes; the blocks used longest ago are removed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._written, self._lock = limit, threading.Lock()  # look at once

    def get(self, key: tuple[Hashable, ...], fetch: Callable[[], bytes]) -> bytes:
        """The block of a key; fetched and kept unless it is there."""
        path = self._folder / hashlib.sha256(repr(key).encode()).hexdigest()
        with suppress(OSError):
            data = path.read_bytes()
            os.utime(path)
            return data
        data = fetch()
        try:
            write_atomically(path, lambda file: file.write(data), sync=False)
        except OutputError as error:  # a full disk, for instance: the block is here all the same
            _warn(self._folder, getattr(error.__cause__, "strerror", None) or brief(error))
        else:
            self._bound(len(data))
        return data

    def _bound(self, written: int) -> None:
        with self._lock:
            self._written += written
            if self._written < _SHARE * self._limit:
                return
            self._written = 0
            remove_oldest(self._folder, self._limit)


def configured_cache() -> BlockCache | None:
    """The cache that the environment asks for; None without one."""
    folder = os.environ.get("TRISHIFT_REMOTE_CACHE")
    return _cache(folder, allowed_bytes()) if folder else None


@cache
def _warn(folder: Path, reason: str) -> None:
    """Warn once per process."""
    _LOG.warning("%s: ranges cannot be kept (%s); TRISHIFT_REMOTE_CACHE is not used", folder, reason)


@cache
def _cache(folder: str, limit: int) -> BlockCache:
    return BlockCache(Path(folder), limit)
