"""Unpack archives safely and resumably, recovering the readable files of damaged ones.

A file appears under its name only when complete. An archive is recorded in `unpacked.json` only when it is unpacked
completely and its checksums match. A repeated run unpacks unrecorded archives from the beginning, because files from a
damaged archive may have the right size but wrong content. The archives themselves are never modified.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from trishift.data.prepare.archives import Archive, DamagedArchive, JoinedParts, find_archives
from trishift.data.prepare.files import write_json
from trishift.data.prepare.tree import archives_below
from trishift.errors import DataError, shortened
from trishift.io.archives import DamagedContent, open_entry, reading_archive
from trishift.io.atomic import make_folder, scratch, staged
from trishift.io.threads import map_in_threads
from trishift.io.wording import counted, shown_first

_NOTES = "unpacked.json"
_BLOCK = 2**13  # bytes per read: bzip2 and LZMA expand each block in memory, up to 20,000 times
_DEEPEST = 100  # folders in a member's path
_RAR_TOOLS = {
    "unrar": ("x", "-idq", "-o+", "-y", "{archive}", "{folder}/"),
    "7z": ("x", "-bd", "-y", "-o{folder}", "{archive}"),
    "bsdtar": ("-x", "-f", "{archive}", "-C", "{folder}"),
}


def unpack(root: Path, output: Path, workers: int | None = None) -> dict[str, str]:
    """Unpack every archive below a folder that is not yet unpacked, in parallel.

    An archive in `root/train` unpacks into `output/train`.

    Returns:
        {archive: problem} for damaged or incomplete archives; their readable files are unpacked.

    Raises:
        OutputError: a file cannot be written.
        DataError: an archive cannot be read, contains links or paths outside the folder, or is a rar archive and no
            program that reads it is installed.
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
    """Thread-safe record file of completely unpacked archives, by name and size."""

    def __init__(self, output: Path) -> None:
        self._path = output / _NOTES
        self._lock = threading.Lock()
        self._notes: dict[str, dict[str, int]] = {}
        try:
            notes = json.loads(self._path.read_text(encoding="utf-8"))
            self._notes |= {name: dict(entry) for name, entry in notes.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):  # a damaged file: unpack again
            self._notes.clear()

    def is_unpacked(self, archive: Archive) -> bool:
        return self._notes.get(archive.name, {}).get("bytes") == archive.num_bytes

    def add(self, archive: Archive, files: int) -> None:
        with self._lock:
            self._notes[archive.name] = {"bytes": archive.num_bytes, "files": files}
            write_json(self._path, self._notes)


def _unpack_tar(archive: Archive, folder: Path) -> int:
    """Unpack a tar, possibly compressed or in parts; returns the number of files."""
    files = 0
    with JoinedParts(archive.parts) as joined:
        try:
            with reading_archive():
                stream: IO[bytes] = gzip.GzipFile(fileobj=joined) if archive.kind == "tar.gz" else joined  # type: ignore
                with tarfile.open(fileobj=stream, mode="r|") as tar:
                    for member in _regular_members(archive, tar):
                        _place(archive, folder, member.name, member.size, lambda m=member: tar.extractfile(m))  # type: ignore
                        files += 1
                _read_to_end(stream)
                if archive.kind == "tar":
                    _require_end(archive.parts[0].path)
        except DamagedContent as error:
            after = f" in {joined.part.name} or before" if len(archive.parts) > 1 else ""
            raise DamagedArchive(
                f"{archive.name}: is damaged or incomplete{after} ({files} files could be read: {error}); "
                "download it again"
            ) from None
    return files


def _regular_members(archive: Archive, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files of a tar; raises DataError if it has anything else than these and folders."""
    for member in tar:
        if member.isreg():
            yield member
        elif not member.isdir():
            raise DataError(f"{archive.name}: {member.name} is a link or device; such archives are refused")


def _read_to_end(stream: IO[bytes]) -> None:
    """Read past the last file, because the checksum is verified only at the end."""
    while stream.read(1 << 20):
        pass


def _require_end(tar: Path) -> None:
    """Raises EOFError if an uncompressed tar lacks its final block of zeros, so may be truncated."""
    with tar.open("rb") as file:
        file.seek(-tarfile.BLOCKSIZE, 2)
        if any(file.read()):
            raise EOFError("its end is missing")


def _unpack_zip(archive: Archive, folder: Path) -> int:
    """Unpack a zip, skipping broken members and naming them in the error; returns the number of files."""
    broken: list[str] = []
    with zipfile.ZipFile(archive.parts[0].path) as file:
        members = [member for member in file.infolist() if not member.filename.endswith("/")]
        for member in members:
            try:
                with reading_archive():
                    _place(archive, folder, member.filename, member.file_size, lambda m=member: open_entry(file, m))  # type: ignore
            except DamagedContent as error:
                broken.append(f"{member.filename} ({error})")
    if broken:
        raise DamagedArchive(
            f"{archive.name}: {len(broken)} of {counted(len(members), 'file')} damaged, first {broken[0]}; "
            f"download it again"
        )
    return len(members)


def _unpack_rar(archive: Archive, folder: Path) -> int:
    """Unpack a rar and the rars inside it (HMDB51 has one per class), with an installed program."""
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
        raise DataError(f"{archive.name}: Python cannot read rar files; install unrar, 7z or bsdtar and try again")
    arguments = [text.format(archive=path, folder=folder) for text in _RAR_TOOLS[tool]]
    result = subprocess.run([tool, *arguments], capture_output=True, text=True, errors="replace", check=False)
    if result.returncode:
        said = " ".join((result.stderr or result.stdout).split())[-200:]
        raise DamagedArchive(f"{archive.name}: {tool} cannot unpack {path.name} ({said}); download it again")


def _place(archive: Archive, folder: Path, name: str, size: int, open_member: Callable[[], IO[bytes]]) -> None:
    """Write a member to its path."""
    path = folder / _safe(archive, name)
    with staged(path, sync=False) as new:
        with open_member() as source, new.open("xb") as file:
            shutil.copyfileobj(source, file, _BLOCK)
        if new.stat().st_size != size:
            raise EOFError(f"{name} is cut off")


def _safe(archive: Archive, name: str) -> PurePosixPath:
    """The member's path; raises DataError if it is outside the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).anchor or not path.parts:
        raise DataError(f"{archive.name}: {name!r} would be written outside the folder; the archive is refused")
    if len(path.parts) > _DEEPEST:
        raise DataError(f"{archive.name}: {shortened(repr(name))} is nested too deeply; the archive is refused")
    return path


_UNPACKERS: dict[str, Callable[[Archive, Path], int]] = {
    "zip": _unpack_zip,
    "tar": _unpack_tar,
    "tar.gz": _unpack_tar,
    "rar": _unpack_rar,
}


def unpack_completely(root: Path, output: Path, workers: int | None = None) -> None:
    """Like `unpack`, but raises DataError if there are no archives or any of them is damaged."""
    if not any(archives_below(root)):
        raise DataError(f"{root}: no archives found; give the folder with the downloaded files")
    require_complete(unpack(root, output, workers), incomplete=False)


def require_complete(problems: dict[str, str], incomplete: bool) -> None:
    """Refuse to continue with damaged archives, unless `incomplete`.

    Raises:
        DataError: there are damaged archives; the message describes the first and names the next ones.
    """
    if problems and not incomplete:
        others = _and_others(list(problems))
        raise DataError(
            f"{next(iter(problems.values()))}{others} and try again, or use --incomplete to skip the missing files"
        )


def _and_others(names: Sequence[str]) -> str:
    return f" (as well as {shown_first(names[1:], 3)})" if len(names) > 1 else ""
