"""Weights inside archives, such as Paddle 1.x's `tar.gz`, unpacked within bounds."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from trishift.errors import CheckpointError
from trishift.io.archives import DamagedContent, reading_archive
from trishift.io.atomic import make_folder, staged

_MAX_MEMBERS = 10_000
_MAX_INFLATION = 50  # of unpacked over packed bytes; weights hardly compress


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (compressed or not) to a folder, unless it is there.

    Raises:
        CheckpointError: the archive is damaged, too large, leaves its folder, or has links.
        OutputError: the folder cannot be written.
    """
    if not folder.is_dir():
        with staged(folder) as new:
            new.mkdir()
            _unpack(archive, new)


def _unpack(archive: Path, folder: Path) -> None:
    left = _MAX_INFLATION * archive.stat().st_size
    try:
        with reading_archive(), tarfile.open(archive, "r:*") as tar:
            for count, member in enumerate(tar, 1):
                if member.isdir():
                    continue
                left -= member.size
                if count > _MAX_MEMBERS or left < 0:
                    raise CheckpointError(f"{archive}: unpacks to far more than weights would; it is not used")
                if not member.isreg():
                    raise CheckpointError(f"{archive}: {member.name} is a link or device; the archive is not used")
                _place(tar, _inside(member, archive, folder), folder)
    except DamagedContent as error:
        raise CheckpointError(f"{archive}: is damaged ({error}); delete it and try again") from None


def _inside(member: tarfile.TarInfo, archive: Path, folder: Path) -> tarfile.TarInfo:
    try:
        return tarfile.data_filter(member, str(folder))
    except tarfile.FilterError as error:
        raise CheckpointError(f"{archive}: {error}; the archive is not used") from None


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = folder / member.name
    make_folder(path.parent)
    source = tar.extractfile(member)
    assert source is not None  # a regular file
    with source, path.open("xb") as file:
        shutil.copyfileobj(source, file)


def weights_in(folder: Path, archive: Path) -> Path:
    """Return the only file of an unpacked archive, or the only folder that holds files (variables of Paddle 1.x).

    Raises:
        CheckpointError: there are several.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    folders = {path.parent for path in files}
    if len(files) == 1:
        return files[0]
    if len(folders) == 1:
        return folders.pop()
    names = ", ".join(sorted(path.relative_to(folder).as_posix() for path in folders)[:5]) or "nothing"
    raise CheckpointError(f"{archive}: holds several folders ({names}); unpack it and name the weights")
