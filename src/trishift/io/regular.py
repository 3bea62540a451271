"""Refusal of pipes and devices, whose content may never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def check_regular(path: str | Path) -> int:
    """Return the size of a regular file, in bytes.

    Raises:
        OSError: the path cannot be examined, or is a pipe, a socket, a device or a folder.
    """
    status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe or device, not a file", str(path))
    return status.st_size
