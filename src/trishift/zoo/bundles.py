"""Bundles: published files with their hashes in one tar, for machines without a network."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from trishift.checkpoints.files import sha256
from trishift.errors import CheckpointError
from trishift.io.archives import DamagedContent, reading_archive
from trishift.io.atomic import scratch, staged
from trishift.zoo.fetching import accept, obtain, wanted_published
from trishift.zoo.home import claimed, format_sums, key_of, parse_sums, read_sums
from trishift.zoo.published import Published, matching

_SUMS = "SHA256SUMS"
_LARGEST_SUMS = 2**20  # bytes


def write_bundle(path: Path, entries: Sequence[Published]) -> None:
    """Pack published files, downloaded if missing, as they lie below the home folder.

    Raises:
        CheckpointError: a file cannot be obtained.
        OutputError: the bundle or the home folder cannot be written.
    """
    with scratch(path):
        pass  # refuses a bad place before the downloads
    for entry in entries:
        obtain(wanted_published(entry))
    targets = [wanted_published(entry).target for entry in entries]
    sums = format_sums({key_of(target): read_sums()[key_of(target)] for target in targets}).encode()
    with staged(path) as new, tarfile.open(new, "x") as tar:
        member = tarfile.TarInfo(_SUMS)
        member.size = len(sums)
        tar.addfile(member, io.BytesIO(sums))
        for target in targets:
            tar.add(target, key_of(target), recursive=False)


def read_bundle(path: Path) -> list[str]:
    """Unpack a bundle below the home folder; files that are there already stay.

    Returns:
        Names of the weights.

    Raises:
        CheckpointError: the bundle is damaged, or holds other things than published files with their hashes.
        OutputError: the home folder cannot be written.
    """
    known = {f"weights/{entry.name}/{entry.file}": entry for entry in matching()}
    names = []
    try:
        with reading_archive(), tarfile.open(path, "r:") as tar:
            sums = _read_sums(path, tar)
            members = [member for member in tar.getmembers() if member.name != _SUMS]
            for member in members:
                if member.name not in known or member.name not in sums or not member.isreg():
                    raise CheckpointError(f"{path}: {member.name!r} is no published weight file; the bundle is refused")
            for member in members:
                _place(path, tar, member, known[member.name], sums[member.name])
                names.append(known[member.name].name)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except DamagedContent as error:
        raise CheckpointError(f"{path}: is not a bundle, or damaged ({error}); copy it again") from None
    return names


def _read_sums(path: Path, tar: tarfile.TarFile) -> dict[str, str]:
    first = tar.next()
    if first is None or first.name != _SUMS or not first.isreg() or first.size > _LARGEST_SUMS:
        raise CheckpointError(f"{path}: does not begin with {_SUMS}; make bundles with `trishift models --bundle`")
    content = tar.extractfile(first)
    assert content is not None
    return parse_sums(content.read().decode("utf-8", "replace"), f"{path}: {_SUMS}")


def _place(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, entry: Published, digest: str) -> None:
    wanted = wanted_published(entry)
    with claimed(wanted.target.parent):
        if wanted.target.is_file():
            return
        with staged(wanted.target) as new:
            source = tar.extractfile(member)
            assert source is not None
            with source, new.open("xb") as file:
                shutil.copyfileobj(source, file)
            if sha256(new) != digest:
                raise CheckpointError(f"{path}: {member.name} is damaged; copy the bundle again")
            accept(wanted, new, digest)
