"""Find the archives in a download folder: zip, tar, tar.gz, rar, and a tar.gz split into parts.

The 20BN sets (Jester, Something-Something) are one tar.gz split into `20bn-jester-v1-00`, `-01`, ... The parts are
either bare files, zipped one by one (with their MD5 sums), or misnamed `.zip` although they aren't zips. In each case
they form one `Archive`, which is read as a stream without joining the parts on disk.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from trishift.errors import DataError, brief
from trishift.io.archives import DamagedContent, open_entry, reading_archive

_PART = re.compile(r"(?P<name>20bn-.+)-(?P<number>\d\d)")
_SUFFIXES: dict[str, Literal["zip", "tar", "tar.gz", "rar"]] = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".rar": "rar",
}
_LONGEST_SUM = 2**12  # bytes of md5sum's output for one file
_ZIP_MAGIC = b"PK\x03\x04"


class DamagedArchive(DataError):
    """An incomplete archive or one with broken members; everything readable was unpacked."""


@dataclass(frozen=True)
class ArchivePart:
    """A file, or a member of a zip, that holds an archive or one part of it.

    Attributes:
        path: the file.
        member: name inside `path` if that is a zip wrapping the part.
        md5: the published MD5 sum, None if unknown.
    """

    path: Path
    member: str | None = None
    md5: str | None = None

    @property
    def name(self) -> str:
        """The part's name in messages."""
        return self.path.name if self.member is None else f"{self.member} in {self.path.name}"

    def open(self) -> IO[bytes]:
        """Open the part for reading."""
        if self.member is None:
            return self.path.open("rb")
        archive = zipfile.ZipFile(self.path)
        return open_entry(archive, archive.getinfo(self.member))


@dataclass(frozen=True)
class Archive:
    """An archive in one or several parts.

    Attributes:
        name: path below the searched folder; `-??` stands for the part numbers.
        kind: archive format.
        parts: the file, or its parts in order.
    """

    name: str
    kind: Literal["zip", "tar", "tar.gz", "rar"]
    parts: tuple[ArchivePart, ...]

    @property
    def folder(self) -> PurePosixPath:
        """Its folder, relative to the searched one."""
        return PurePosixPath(self.name).parent

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return sum(path.stat().st_size for path in {part.path for part in self.parts})


class JoinedParts(io.RawIOBase):
    """The parts of an archive as one stream; each part's MD5 sum is verified at its end."""

    def __init__(self, parts: Sequence[ArchivePart]) -> None:
        self._waiting = list(parts)
        self._stream: IO[bytes] | None = None
        self.part = parts[0]

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes, across part boundaries."""
        while self._stream is not None or self._waiting:
            if self._stream is None:
                self.part = self._waiting.pop(0)
                self._stream = self.part.open()
                self._digest = hashlib.md5(usedforsecurity=False)
            data = self._stream.read(len(buffer))
            if data:
                self._digest.update(data)
                buffer[: len(data)] = data
                return len(data)
            self.close_part()
            if self.part.md5 not in (None, self._digest.hexdigest()):
                raise DamagedArchive(f"{self.part.name}: does not match its MD5 sum; download this part again")
        return 0

    def close_part(self) -> None:
        """Close the current part."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        """Close the stream and the current part."""
        self.close_part()
        super().close()


def find_archives(folder: Path, files: Iterable[Path]) -> tuple[list[Archive], dict[str, str]]:
    """Find the archives among the files below a folder.

    Returns:
        (archives sorted by name, {name of an incomplete archive: problem}).
    """
    archives, problems = [], {}
    pieces: defaultdict[str, dict[int, ArchivePart]] = defaultdict(dict)
    for path in sorted(files):
        name = path.relative_to(folder).as_posix()
        kind = _kind(path)
        numbered = _PART.fullmatch(path.name.removesuffix(".zip"))
        if not path.is_file():  # a pipe or device may never end
            problems[name] = f"{name}: is not a regular file; download it again"
        elif numbered and (kind is None or not _begins_like_zip(path)):
            pieces[_joined_name(name, numbered)][int(numbered["number"])] = ArchivePart(path, None, _md5_beside(path))
        elif kind == "zip":
            try:
                inside = _parts_inside(path)
            except (DamagedContent, OSError) as error:
                problems[name] = f"{name}: not a complete zip file ({brief(error)}); download it again"
                continue
            for match, part in inside:
                pieces[_joined_name(name, match)][int(match["number"])] = part
            if not inside:
                archives.append(Archive(name, kind, (ArchivePart(path),)))
        elif kind is not None:
            archives.append(Archive(name, kind, (ArchivePart(path),)))
    for name, by_number in pieces.items():
        missing = sorted(set(range(max(by_number) + 1)) - set(by_number))
        if missing:
            numbers = ", ".join(f"{number:02d}" for number in missing)
            problems[name] = f"{name}: part {numbers} is missing; download it into the same folder"
        else:
            archives.append(Archive(name, "tar.gz", tuple(by_number[number] for number in sorted(by_number))))
    return sorted(archives, key=lambda archive: archive.name), problems


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive or a part of one."""
    return _kind(path) is not None or _PART.fullmatch(path.name) is not None


def _kind(path: Path) -> Literal["zip", "tar", "tar.gz", "rar"] | None:
    name = path.name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def _joined_name(name: str, match: re.Match[str]) -> str:
    return str(PurePosixPath(name).parent / f"{match['name']}-??")


def _begins_like_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC


def _parts_inside(path: Path) -> list[tuple[re.Match[str], ArchivePart]]:
    """The parts inside a zip; empty for an ordinary zip."""
    found = []
    with reading_archive(), zipfile.ZipFile(path) as file:
        names = set(file.namelist())
        for name in sorted(names):
            if match := _PART.fullmatch(PurePosixPath(name).name):
                found.append((match, ArchivePart(path, name, _md5_inside(file, f"{name}.md5", names))))
    return found


def _md5_inside(file: zipfile.ZipFile, name: str, names: set[str]) -> str | None:
    if name not in names:
        return None
    with open_entry(file, file.getinfo(name)) as sums:
        return _md5_of(sums.read(_LONGEST_SUM))


def _md5_beside(path: Path) -> str | None:
    sums = path.with_name(f"{path.name}.md5")
    if not sums.is_file():
        return None
    with sums.open("rb") as file:
        return _md5_of(file.read(_LONGEST_SUM))


def _md5_of(text: bytes) -> str | None:
    """The checksum in the output of md5sum."""
    match = re.search(rb"\b[0-9a-f]{32}\b", text.lower())
    return match.group().decode() if match else None
