"""Unpack archives: safely, resumably, and without losing what a damaged one still holds.

A file appears under its name only when it is complete, and an archive is noted in `unpacked.json` only when all of it
is out and its check sums fit. A repeated run unpacks the archives that are not noted, each from its beginning: what an
earlier run left of a damaged archive may have the right size and still the wrong content. Archives are only ever read.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from trishift.data.prepare.archives import Archive, DamagedArchive, JoinedParts, find_archives
from trishift.data.prepare.files import write_json
from trishift.data.prepare.tree import archives_below
from trishift.errors import DataError
from trishift.io.atomic import make_folder, scratch, staged
from trishift.io.threads import map_in_threads

_NOTES = "unpacked.json"
_READ_ERRORS = (EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, NotImplementedError)
_RAR_TOOLS = {
    "unrar": ("x", "-idq", "-o+", "-y", "{archive}", "{folder}/"),
    "7z": ("x", "-bd", "-y", "-o{folder}", "{archive}"),
    "bsdtar": ("-x", "-f", "{archive}", "-C", "{folder}"),
}


def unpack(root: Path, output: Path, workers: int | None = None) -> dict[str, str]:
    """Unpack every archive below a folder that is not yet unpacked, several at a time.

    An archive in `root/train` unpacks into `output/train`.

    Returns:
        {archive: what is wrong} of those that are damaged or incomplete. Their other files are unpacked.

    Raises:
        OutputError: a file cannot be written.
        DataError: an archive cannot be read, holds links or paths that lead out of the folder, or a rar
            archive is found but no program that reads it.
    """
    archives, problems = find_archives(root, archives_below(root))
    notes = _Notes(output)
    waiting = [archive for archive in archives if not notes.is_unpacked(archive)]

    def unpack_one(archive: Archive) -> tuple[str, str | None]:
        try:
            notes.add(archive, _UNPACKERS[archive.kind](archive, output / archive.folder))
        except DamagedArchive as damage:
            return archive.name, str(damage)
        except OSError as error:
            raise DataError(f"{archive.name}: cannot be read ({error.strerror}); download it again") from None
        return archive.name, None

    results = map_in_threads(unpack_one, waiting, workers, "unpacking")
    return problems | {name: problem for name, problem in results if problem is not None}


class _Notes:
    """Which archives are completely unpacked, by name and size; kept in a file, safe in threads."""

    def __init__(self, output: Path) -> None:
        self._path = output / _NOTES
        self._lock = threading.Lock()
        try:
            self._notes = dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            self._notes = {}

    def is_unpacked(self, archive: Archive) -> bool:
        return self._notes.get(archive.name, {}).get("bytes") == archive.num_bytes

    def add(self, archive: Archive, files: int) -> None:
        with self._lock:
            self._notes[archive.name] = {"bytes": archive.num_bytes, "files": files}
            write_json(self._path, self._notes)


def _unpack_tar(archive: Archive, folder: Path) -> int:
    """Unpack a tar, compressed or in parts or both; returns the number of files."""
    files = 0
    with JoinedParts(archive.parts) as joined:
        try:
            stream: IO[bytes] = gzip.GzipFile(fileobj=joined) if archive.kind == "tar.gz" else joined  # type: ignore
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    if member.isdir():
                        continue
                    if not member.isreg():
                        raise DataError(f"{archive.name}: {member.name} is a link or device; such archives are refused")
                    _place(archive, folder, member.name, member.size, lambda m=member: tar.extractfile(m))  # type: ignore
                    files += 1
            _read_to_end(stream)
            if archive.kind == "tar":
                _require_end(archive.parts[0].path)
        except _READ_ERRORS as error:
            after = f" in {joined.part.name} or before" if len(archive.parts) > 1 else ""
            raise DamagedArchive(
                f"{archive.name}: is damaged or incomplete{after} ({files} files could be read: {_one_line(error)}); "
                "download it again"
            ) from None
    return files


def _read_to_end(stream: IO[bytes]) -> None:
    """Read what follows the last file: only then is the check sum compared."""
    while stream.read(1 << 20):
        pass


def _require_end(tar: Path) -> None:
    """An uncompressed tar ends with zeros; without them something may be missing."""
    with tar.open("rb") as file:
        file.seek(-tarfile.BLOCKSIZE, 2)
        if any(file.read()):
            raise EOFError("its end is missing")


def _unpack_zip(archive: Archive, folder: Path) -> int:
    """Unpack a zip; broken members are left out and named in the error; returns the number of files."""
    broken: list[str] = []
    with zipfile.ZipFile(archive.parts[0].path) as file:
        members = [member for member in file.infolist() if not member.is_dir()]
        for member in members:
            try:
                _place(archive, folder, member.filename, member.file_size, lambda m=member: file.open(m))  # type: ignore
            except (*_READ_ERRORS, RuntimeError) as error:  # RuntimeError: a password is needed
                broken.append(f"{member.filename} ({_one_line(error)})")
    if broken:
        raise DamagedArchive(
            f"{archive.name}: {len(broken)} of {len(members)} files are broken, first {broken[0]}; download it again"
        )
    return len(members)


def _unpack_rar(archive: Archive, folder: Path) -> int:
    """Unpack a rar, and the rars in it (HMDB51 has one per class), with a program that this machine has."""
    source = archive.parts[0].path
    make_folder(folder)
    with scratch(folder / source.name) as unpacked:
        _run_rar_tool(archive, source, unpacked)
        for inner in sorted(unpacked.rglob("*.rar")):
            _run_rar_tool(archive, inner, inner.parent)
            inner.unlink()
        files = [path for path in unpacked.rglob("*") if path.is_file() and not path.is_symlink()]
        for path in files:
            target = folder / path.relative_to(unpacked)
            make_folder(target.parent)
            path.replace(target)
    return len(files)


def _run_rar_tool(archive: Archive, path: Path, folder: Path) -> None:
    tool = next((name for name in _RAR_TOOLS if shutil.which(name)), None)
    if tool is None:
        raise DataError(f"{archive.name}: Python cannot read rar files; install unrar, 7z or bsdtar and repeat")
    arguments = [text.format(archive=path, folder=folder) for text in _RAR_TOOLS[tool]]
    result = subprocess.run([tool, *arguments], capture_output=True, text=True, errors="replace", check=False)
    if result.returncode:
        said = " ".join((result.stderr or result.stdout).split())[-200:]
        raise DamagedArchive(f"{archive.name}: {tool} cannot unpack {path.name} ({said}); download it again")


def _place(archive: Archive, folder: Path, name: str, size: int, open_member: Callable[[], IO[bytes]]) -> None:
    """Write a member to its place."""
    path = folder / _safe(archive, name)
    make_folder(path.parent)
    with staged(path, sync=False) as new:
        with open_member() as source, new.open("xb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        if new.stat().st_size != size:
            raise EOFError(f"{name} is cut off")


def _safe(archive: Archive, name: str) -> PurePosixPath:
    """The member's path, if it stays below the folder that it is unpacked into."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).anchor or not path.parts:
        raise DataError(f"{archive.name}: {name!r} would be written outside of the folder; the archive is refused")
    return path


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


_UNPACKERS: dict[str, Callable[[Archive, Path], int]] = {
    "zip": _unpack_zip,
    "tar": _unpack_tar,
    "tar.gz": _unpack_tar,
    "rar": _unpack_rar,
}


def unpack_completely(root: Path, output: Path, workers: int | None = None) -> None:
    """`unpack`, where nothing may be missing; raises DataError also if there are no archives."""
    if not any(archives_below(root)):
        raise DataError(f"{root}: holds no archives; give the folder with the downloaded files")
    require_complete(unpack(root, output, workers), incomplete=False)


def require_complete(problems: dict[str, str], incomplete: bool) -> None:
    """Refuse to go on with damaged archives, unless told so.

    Raises:
        DataError: naming how many there are, and what is wrong with the first.
    """
    if problems and not incomplete:
        others = _and_others(list(problems))
        raise DataError(f"{next(iter(problems.values()))}{others}, and repeat; or go on without with --incomplete")


def _and_others(names: Sequence[str]) -> str:
    return f" (as well as {', '.join(names[1:4])}{', ...' if len(names) > 4 else ''})" if len(names) > 1 else ""
