"""Where the bytes of a path are: a file, an object in a store or on a web server, or a member of a tar shard.

A path is a `Path` everywhere in the program. Two spellings are special: `s3://bucket/clip.mp4` and the like, see
`remote`, and `train-000000.tar/clip.mp4`, see `shards`; both can be combined.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

from trishift.io.regular import check_regular, is_in_store, is_remote
from trishift.io.storage.folders import list_folder
from trishift.io.storage.ranges import Ranges
from trishift.io.storage.remote import RemoteFile
from trishift.io.storage.shards import files_in, open_member, split_member


def open_stored(path: Path) -> Ranges | None:
    """The bytes of an object in a store or of a member of a shard; None for an ordinary path.

    Raises:
        DataError: it cannot be reached, or the shard has no such member or no index.
    """
    place = split_member(path)
    if place is not None:
        return open_member(*place)
    return RemoteFile.of(path) if is_remote(path) else None


def stored_files(path: Path) -> Mapping[str, Ranges]:
    """The files in a folder in a store or a shard by their names; empty if there is none, and for ordinary paths.

    Raises:
        DataError: the store cannot be reached or refuses, or the shard has no index.
    """
    place = split_member(path)
    if place is not None:
        return files_in(*place)
    if not is_in_store(path):
        return {}
    return {name: file for name, file in list_folder(path).items() if "/" not in name}


def is_stored(path: Path) -> bool:
    """Whether a path names an object in a store or a member of a shard; whether that exists is not looked up."""
    return is_remote(path) or split_member(path) is not None


def identity(path: Path) -> Hashable:
    """Equal for equal content of the same path; changes with the content.

    Raises:
        DataError, OSError: the file cannot be examined.
    """
    stored = open_stored(path)
    if stored is not None:
        return stored.identity
    status = path.stat()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def read_bytes(path: Path) -> bytes:
    """The content of a file, wherever it is.

    Raises:
        DataError: an object or a member cannot be read.
        OSError: a file cannot be read, or is a pipe or a device.
    """
    stored = open_stored(path)
    if stored is None:
        check_regular(path)
        return path.read_bytes()
    return stored.read(0, stored.size)
