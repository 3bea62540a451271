"""Entries of untrusted zip archives."""

from __future__ import annotations

import zipfile


def read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return an entry's content; `ZipFile.read` inflates all of it, however small its declared size.

    Raises:
        zipfile.BadZipFile: the content has another checksum, as it does if it is longer than declared.
    """
    with archive.open(info) as file:
        return file.read(info.file_size)
