"""Weights and run folders in object stores: copied into the home folder, once for each version of the object.

The copies used longest ago are removed beyond `TRISHIFT_REMOTE_CACHE_GB`, but none of the last hour.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from trishift.checkpoints.files import FINAL_MODEL, RUN_FILES
from trishift.errors import CheckpointError, DataError
from trishift.io.storage.bounding import allowed_bytes, remove_oldest
from trishift.io.storage.folders import fetch
from trishift.io.storage.remote import MissingObject, RemoteFile
from trishift.zoo.home import claimed, home, is_offline

_SPARED = 3600.0  # seconds


def obtain_stored(address: str) -> Path:
    """The local copy of a weight file, or of the best weights of a run folder.

    Args:
        address: `s3://bucket/model.safetensors` or `s3://bucket/runs/tsm`.

    Raises:
        CheckpointError: nothing is there or can be reached, or requests are forbidden.
        HomeError: the home folder cannot be written.
    """
    check_online(address)
    try:
        found = _found(address)
        with stored_version(found) as folder:
            target = folder / PurePosixPath(found.name).name
            if not target.is_file():
                fetch(found, target)
        return target
    except DataError as error:
        raise CheckpointError(str(error)) from None


def check_online(address: str) -> None:
    """Refuse an address if requests are forbidden.

    Raises:
        CheckpointError: they are.
    """
    if is_offline():
        raise CheckpointError(f"{address}: requests are forbidden by TRISHIFT_OFFLINE; copy it here first")


@contextmanager
def stored_version(*files: RemoteFile) -> Iterator[Path]:
    """Yield the folder for copies of the present versions of some objects; other processes wait.

    Raises:
        HomeError: the home folder cannot be written.
    """
    version = hashlib.sha256(repr([file.identity for file in files]).encode()).hexdigest()[:16]
    folder = home() / "stored" / version
    limit = allowed_bytes()
    with claimed(folder):
        yield folder
        os.utime(folder)
    remove_oldest(folder.parent, limit, _SPARED)


def _found(address: str) -> RemoteFile:
    """The file at an address, or the weights in the run folder there."""
    inside = () if PurePosixPath(address).suffix else (*RUN_FILES, FINAL_MODEL)
    try:
        for name in inside:
            with suppress(MissingObject):
                return RemoteFile.of(f"{address.rstrip('/')}/{name}")
        return RemoteFile.of(address)
    except MissingObject:
        if not inside:
            raise
        raise DataError(f"{address}: neither weights nor a folder of a run; check the address") from None
