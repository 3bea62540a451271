"""Members of tar files (shards) at random, through an index beside each: `train-000000.tar.index`.

The index is a text file: `trishift-index 1 SIZE` with the size of the tar file, then a line for each member, sorted by
the bytes of its name: name, offset, size and CRC-32, separated by tabs. It is searched as it is, so that a million
members take the bytes of their lines.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from trishift.errors import DataError, spelled_addresses
from trishift.io.atomic import write_atomically
from trishift.io.regular import is_dir, is_file, is_remote
from trishift.io.storage.ranges import FileRanges, Ranges
from trishift.io.storage.remote import RemoteFile
from trishift.io.wording import unreadable

SUFFIX = ".index"
_PLACE = re.compile(r"(?P<shard>.+?\.tar)/(?P<member>.+)", re.DOTALL)
_HEADER = re.compile(rb"trishift-index 1 (\d+)\n")
_CHECKED_SIZE = 4 * 2**20  # bytes; smaller members are read at once and compared with their checksum
_CHUNK = 2**20


class Member(NamedTuple):
    """Place of a member in its shard.

    Attributes:
        offset: of its first byte.
        size: number of bytes.
        checksum: CRC-32 of the bytes.
    """

    offset: int
    size: int
    checksum: int


def split_member(path: str | Path) -> tuple[str, str] | None:
    """Split `shard.tar/member` into both; None if the path names no member of a shard.

    Example:
        >>> from trishift.io.storage.shards import split_member
        >>> split_member("s3:/bucket/train-000000.tar/jump/a.mp4"), split_member("clips/a.mp4")
        (('s3:/bucket/train-000000.tar', 'jump/a.mp4'), None)
    """
    match = _PLACE.fullmatch(str(path)) if ".tar/" in str(path) else None
    if match is None or is_dir(match["shard"]):
        return None
    return match["shard"], match["member"]


class MemberRanges(Ranges):
    """A member of a shard."""

    def __init__(self, shard: Ranges, name: str, member: Member) -> None:
        self.name, self.size = f"{shard.name}/{name}", member.size
        self.identity = (*shard.identity, name, *member)
        self._shard, self._member = shard, member

    def read(self, start: int, end: int) -> bytes:
        """See `Ranges`; a member that is read at once is compared with its checksum."""
        offset = self._member.offset
        data = self._shard.read(offset + start, offset + end)
        whole = end - start == self.size and self.size <= _CHECKED_SIZE
        if len(data) < end - start or (whole and zlib.crc32(data) != self._member.checksum):
            raise DataError(
                f"{self.name}: the shard is damaged here, its bytes are not those of the index; copy the shard again, "
                "or write it again with trishift prepare shards"
            )
        return data


def open_member(shard: str, name: str) -> MemberRanges:
    """A member of a shard, which is a file or a remote object.

    Raises:
        DataError: shard, index or member is missing, or the shard is not the one of the index.
    """
    index = _index(shard)
    start, end = _line(index, name.encode("utf-8", "surrogateescape"))
    found, *place = index[start:end].split(b"\t")
    if found != name.encode("utf-8", "surrogateescape"):
        raise DataError(f"{shard}/{name}: the shard has no such member; check the list, or index the shard again")
    return MemberRanges(_whole(shard, index), name, _member(shard, name, place, index))


def files_in(shard: str, name: str) -> dict[str, MemberRanges]:
    """The members in a folder of a shard by their names there, without those in folders below.

    A sample of webdataset's, the members with the same name before its first dot, is a folder of what follows the dot.
    Empty if there is neither, or if a member has the name.

    Raises:
        DataError: as `open_member`.
    """
    index, encoded = _index(shard), name.encode("utf-8", "surrogateescape")
    start, _ = _line(index, encoded)
    if index.startswith(encoded + b"\t", start):
        return {}
    whole, files = _whole(shard, index), dict[str, MemberRanges]()
    for prefix in (encoded + b"/", encoded + b"."):
        start, end = _line(index, prefix)
        while start < end and index.startswith(prefix, start):
            found, *place = index[start:end].split(b"\t")
            rest, full = (each.decode("utf-8", "surrogateescape") for each in (found[len(prefix) :], found))
            if "/" not in rest:
                files[rest] = MemberRanges(whole, full, _member(shard, full, place, index))
            start, end = end + 1, index.find(b"\n", end + 1)
        if files:
            break
    return files


def _member(shard: str, name: str, place: list[bytes], index: bytes) -> Member:
    """The place of a member, as its line in the index has it."""
    with suppress(ValueError, TypeError):
        member = Member(*map(int, place))
        if 0 <= member.offset <= member.offset + member.size <= _size(index):
            return member
    raise DataError(f"{shard}{SUFFIX}: damaged at {name}; write it with: trishift prepare index {shard}")


def _size(index: bytes) -> int:
    """The size of the shard, according to its index."""
    return int(_HEADER.match(index)[1])  # type: ignore[index]


def _whole(shard: str, index: bytes) -> Ranges:
    """The bytes of a shard, which is the one of its index."""
    size = _size(index)
    ranges = RemoteFile(spelled_addresses(shard), size, "") if is_remote(shard) else _file(shard)
    if ranges.size != size:
        raise DataError(
            f"{shard}: has {ranges.size:,} bytes, but {size:,} according to its index; the shard is truncated or was "
            "replaced: copy both again, or run trishift prepare index"
        )
    return ranges


def write_index(shard: Path) -> int:
    """Write the index of a tar file beside it; returns the number of members.

    Raises:
        DataError: it is no tar file, is damaged, or has names that no index can hold.
        OutputError: the index cannot be written.
    """
    lines = []
    try:
        with tarfile.open(shard, "r:") as tar, shard.open("rb") as file:
            for info in sorted(filter(tarfile.TarInfo.isreg, tar), key=_encoded):
                name = _encoded(info)
                if b"\t" in name or b"\n" in name:
                    raise DataError(f"{shard}: a member's name has a tab or a line break ({info.name!r}); rename it")
                place = f"\t{info.offset_data}\t{info.size}\t{_checksum(file, info)}\n"
                lines.append(name + place.encode())
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{shard}: not a tar file, or damaged ({error}); write it again") from None
    except OSError as error:
        raise DataError(unreadable(shard, error)) from None
    content = b"".join([f"trishift-index 1 {shard.stat().st_size}\n".encode(), *lines])
    write_atomically(Path(f"{shard}{SUFFIX}"), lambda file: file.write(content))
    return len(lines)


def _encoded(info: tarfile.TarInfo) -> bytes:
    return info.name.encode("utf-8", "surrogateescape")


def _checksum(file: BinaryIO, info: tarfile.TarInfo) -> int:
    checksum, left = 0, info.size
    file.seek(info.offset_data)
    while left:
        data = file.read(min(_CHUNK, left))
        if not data:
            raise EOFError(f"{info.name} is cut off")
        checksum, left = zlib.crc32(data, checksum), left - len(data)
    return checksum


@lru_cache(maxsize=4096)
def _index(shard: str) -> bytes:
    path = f"{shard}{SUFFIX}"
    if is_remote(shard):
        try:
            index = RemoteFile.of(path)
        except DataError as error:
            raise DataError(f"{error} (a shard needs its index beside it: trishift prepare index writes it)") from None
        content = index.read(0, index.size)
    elif is_file(path):
        content = Path(path).read_bytes()
    elif is_file(shard):
        raise DataError(f"{shard}: has no index; write it with: trishift prepare index {shard}")
    else:
        raise DataError(unreadable(Path(shard), FileNotFoundError(2, "No such file or directory")))
    if _HEADER.match(content) is None or not content.endswith(b"\n"):
        raise DataError(f"{path}: not an index, or cut off; write it with: trishift prepare index {shard}")
    return content


def _line(index: bytes, wanted: bytes) -> tuple[int, int]:
    """Start and end of the first line of an index whose name is not before `wanted`; both are its size if none is."""
    low, high = index.index(b"\n") + 1, len(index)  # the line begins between them
    while low < high:
        start = index.rfind(b"\n", 0, (low + high) // 2) + 1
        end = index.index(b"\n", start)
        if index[start:end].partition(b"\t")[0] < wanted:
            low = end + 1
        else:
            high = start
    return low, index.find(b"\n", low) if low < len(index) else low


def _file(shard: str) -> FileRanges:
    try:
        return FileRanges(Path(shard))
    except OSError as error:
        raise DataError(unreadable(Path(shard), error)) from None
