"""Folders in stores: what is in them, and a folder on this machine that is copied to one.

A store has no folders, only objects whose names have slashes; what lies below an address is its folder.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from trishift.errors import DataError, OutputError, spelled_addresses
from trishift.io.atomic import write_atomically, write_text
from trishift.io.progress import track_bytes
from trishift.io.regular import STORES
from trishift.io.storage.remote import RemoteFile, call, key_of, requested

_LOG = logging.getLogger(__name__)
_CHUNK = 2**24  # bytes that are read at once
_TRIAL = ".trishift-trial"
_UNSENT = ".unsent"
_SCHEME = re.compile(rf"({'|'.join(STORES)})://", re.IGNORECASE)


def list_folder(address: str | Path) -> dict[str, RemoteFile]:
    """The objects below an address, by their names there; empty if there are none.

    Raises:
        DataError: the store cannot be reached or refuses.
    """
    folder = spelled_addresses(address).rstrip("/")
    found = requested(folder, lambda: call(folder, "find", detail=True), missing=dict)
    root, files = key_of(folder).strip("/"), dict[str, RemoteFile]()
    for key, info in found.items():
        name = key.strip("/").removeprefix(root).strip("/")
        if name and info.get("type") != "directory" and info.get("size") is not None:
            files[name] = RemoteFile.described(f"{folder}/{name}", info)
    return files


def fetch(file: RemoteFile, target: Path) -> None:
    """Copy an object to a file on this machine, atomically.

    Raises:
        DataError: it cannot be read.
        OutputError: the file cannot be written.
    """
    with track_bytes(0, file.size, target.name) as count:

        def chunks() -> Iterator[bytes]:
            for start in range(0, file.size, _CHUNK):
                yield file.read(start, min(start + _CHUNK, file.size))

        write_atomically(target, lambda output: [count(output.write(data)) for data in chunks()])


class FolderCopy:
    """A folder on this machine that is copied to a store. Objects appear whole, so readers never see half of one.

    Args:
        address: of the copy.
        folder: on this machine; its hidden files are not copied.
        last: names of files that are copied after all others, because they make the others count.
        removable: whether an object that has no file here any more is removed.
    """

    def __init__(
        self,
        address: str | Path,
        folder: Path,
        last: Sequence[str] = (),
        removable: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self.address, self.folder = spelled_addresses(address).rstrip("/"), folder
        self._last, self._removable = tuple(last), removable
        self._sent: dict[str, tuple[int, int]] = {}
        self._names: set[str] = set()  # of objects there
        self._failure = ""

    def place_of(self, path: Path) -> str:
        """Where a file or folder is to be found: in the store, or on this machine if the store lacks something."""
        rest = path.relative_to(self.folder).as_posix()
        return str(path) if self.lacks else f"{self.address}/{rest}".removesuffix("/.")

    @property
    def lacks(self) -> bool:
        """Whether the folder has something that the store has not; known to later processes, too."""
        return (self.folder / _UNSENT).exists()

    def has(self, name: str) -> bool:
        """Whether there is a file of a name, here or in the store."""
        return name in self._names or (self.folder / name).is_file()

    def open(self) -> Mapping[str, RemoteFile]:
        """Look at the objects that are there, and write one for trial, before anything expensive.

        Raises:
            OutputError: the store cannot be written.
        """
        if _SCHEME.match(self.address) is None:
            raise OutputError(f"{self.address}: cannot be written; name a folder here, or one in s3://, gs:// or az://")
        write_text(self.folder / _TRIAL, "Can this folder be written?\n")
        try:
            found = list_folder(self.address)
            self._send(_TRIAL)
            self._remove(_TRIAL)
        except DataError as error:
            raise OutputError(str(error)) from None
        finally:
            (self.folder / _TRIAL).unlink()
        self._names = set(found)
        return found

    def remove(self, wanted: Callable[[str], bool]) -> None:
        """Remove objects by name.

        Raises:
            OutputError: the store refuses.
        """
        for name in sorted(filter(wanted, self._names)):
            try:
                self._remove(name)
            except DataError as error:
                raise OutputError(str(error)) from None

    def fetch(self, found: Mapping[str, RemoteFile]) -> None:
        """Copy objects to the folder.

        Raises:
            OutputError: an object cannot be read, or a file cannot be written.
        """
        try:
            for name, file in found.items():
                fetch(file, below(self.folder, name))
                self._sent[name] = _state(self.folder / name)
        except DataError as error:
            raise OutputError(str(error)) from None

    def send(self) -> bool:
        """Copy what is new; returns whether the store has all of it. One that fails is named, and tried next time."""
        states = {name: _state(self.folder / name) for name in self._files()}
        changed = [name for name, state in states.items() if self._sent.get(name) != state]
        gone = [name for name in self._names - set(states) if self._removable(name) and not _is_hidden(name)]
        if not (changed or gone or self._failure):
            return True
        (self.folder / _UNSENT).touch()
        try:
            for name in gone:
                self._remove(name)
            for name in sorted(changed, key=lambda name: (PurePosixPath(name).name in self._last, name)):
                self._send(name)
                self._sent[name] = states[name]
        except DataError as error:
            self._failure = str(error)
            _LOG.warning("%s; what is missing there is kept in %s and sent with the next files", error, self.folder)
            return False
        (self.folder / _UNSENT).unlink(missing_ok=True)
        if self._failure:
            _LOG.warning("%s: is complete again", self.address)
        self._failure = ""
        return True

    def finish(self, remedy: str) -> None:
        """Copy what is left.

        Raises:
            OutputError: the store has not got everything; the message names the folder and the remedy.
        """
        if not self.send():
            raise OutputError(f"{self._failure}; everything is kept in {self.folder}: {remedy}")

    def _files(self) -> list[str]:
        names = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        return [name for name in names if not _is_hidden(name)]

    def _send(self, name: str) -> None:
        target, path = f"{self.address}/{name}", self.folder / name
        size = path.stat().st_size
        requested(target, lambda: call(target, "put_file", local=path, size=size), right="write")
        self._names.add(name)

    def _remove(self, name: str) -> None:
        target = f"{self.address}/{name}"
        requested(target, lambda: call(target, "rm_file"), right="write", missing=lambda: None)
        self._names.discard(name)


def below(folder: Path, name: str) -> Path:
    """The file of an object below a folder.

    Raises:
        DataError: the object's name leads out of the folder.
    """
    if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
        raise DataError(f"{name}: is no name of a file below a folder; rename the object")
    return folder / name


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
