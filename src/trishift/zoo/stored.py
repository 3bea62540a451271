"""Weights and run folders in object stores: copied once into the home folder, for each version of the object."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from trishift.checkpoints.files import FINAL_MODEL, RUN_FILES
from trishift.errors import CheckpointError, DataError
from trishift.io.atomic import write_atomically
from trishift.io.progress import track_bytes
from trishift.io.storage.remote import MissingObject, RemoteFile
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
    """The file at an address, or the weights in the run folder there."""
    inside = () if PurePosixPath(address).suffix else (*RUN_FILES, FINAL_MODEL)
    try:
        for name in inside:
            with suppress(MissingObject):
                return RemoteFile.of(f"{address.rstrip('/')}/{name}")
        return RemoteFile.of(address)
    except MissingObject as error:
        if not inside:
            raise CheckpointError(str(error)) from None
        raise CheckpointError(
            f"{address}: no weights there, nor {', '.join(inside)} in it; check the address"
        ) from None
    except DataError as error:
        raise CheckpointError(str(error)) from None


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
