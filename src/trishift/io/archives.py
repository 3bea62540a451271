"""Entries of untrusted archives, and the errors of damaged ones."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from trishift.errors import brief

_DAMAGE = (  # whatever the standard library raises; RuntimeError also for encrypted entries and deep nesting
    *(EOFError, OverflowError, RuntimeError, ValueError),
    *(lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error),
)


class DamagedContent(Exception):
    """An archive is damaged, or packed in an unknown way; the text is the reason in one short line."""


@contextmanager
def reading_archive() -> Iterator[None]:
    """Turn every error of a zip, tar or compressed stream that is damaged into `DamagedContent`."""
    try:
        yield
    except _DAMAGE as error:
        raise DamagedContent(brief(error)) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedContent(brief(error)) from None  # of gzip and bzip2, not of the operating system


def open_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """Open an entry that can be read in blocks; bzip2 and LZMA inflate a whole block of any size in memory.

    Raises:
        zipfile.BadZipFile: the entry is neither stored nor deflated, or its header is damaged.
    """
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"compression {info.compress_type} is not supported, only deflate is")
    return archive.open(info)


def read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return an entry's content; `ZipFile.read` inflates all of it, however small its declared size.

    Raises:
        zipfile.BadZipFile: as in `open_entry`, or the content has another checksum, for instance because it is longer
            than declared.
    """
    with open_entry(archive, info) as file:
        return file.read(info.file_size)
