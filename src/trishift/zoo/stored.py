"""Weights and run folders in object stores: copied once into the home folder, for each version of the object."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from trishift.checkpoints.files import FINAL_MODEL, RUN_FILES
from trishift.errors import CheckpointError, DataError
from trishift.io.atomic import write_atomically
from trishift.io.progress import track_bytes
from trishift.io.storage.remote import RemoteFile
from trishift.zoo.home import claimed, home, is_offline

STORES = ("s3", "gs", "az")
_CHUNK = 2**24  # bytes


def obtain_stored(address: str) -> Path:
    """The local copy of a weight file, or of the best weights of a run folder.

    Args:
        address: `s3://bucket/model.safetensors` or `s3://bucket/runs/tsm`.

    Raises:
        CheckpointError: nothing is there or can be reached, or requests are forbidden.
        HomeError: the home folder cannot be written.
    """
    if is_offline():
        raise CheckpointError(f"{address}: requests are forbidden by TRISHIFT_OFFLINE; copy the file here first")
    found = _found(address)
    version = hashlib.sha256(repr(found.identity).encode()).hexdigest()[:16]
    target = home() / "stored" / version / PurePosixPath(found.name).name
    with claimed(target.parent):
        if not target.is_file():
            _copy(found, target)
    return target


def _found(address: str) -> RemoteFile:
    names = (address, *(f"{address.rstrip('/')}/{name}" for name in (*RUN_FILES, FINAL_MODEL)))
    if PurePosixPath(address).suffix:
        names = names[:1]
    reasons = []
    for name in names:
        try:
            found = RemoteFile.of(name)
        except DataError as error:
            reasons.append(str(error))
            if "does not exist" not in reasons[-1]:
                break
        else:
            if found.size:  # stores list a folder as an empty object
                return found
    raise CheckpointError(reasons[0] if len(reasons) == 1 else reasons[-1])


def _copy(source: RemoteFile, target: Path) -> None:
    try:
        with track_bytes(0, source.size, target.name) as count:

            def chunks(file: BinaryIO) -> None:
                for start in range(0, source.size, _CHUNK):
                    data = source.read(start, min(start + _CHUNK, source.size))
                    file.write(data)
                    count(len(data))

            write_atomically(target, chunks)
    except DataError as error:
        raise CheckpointError(str(error)) from None
