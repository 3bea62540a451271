"""What a path from outside is; refusal of pipes and devices, whose content may never end."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

NUL = "no name has a NUL character"
STORES = ("s3", "gs", "az")
"""Schemes of the stores that can be written."""

_STORE = re.compile(rf"({'|'.join(STORES)}|hf):/", re.IGNORECASE)  # one slash: a `Path` keeps no more
_WEB = re.compile(r"https?:/", re.IGNORECASE)


def check_regular(path: str | Path) -> int:
    """Return the size of a regular file, in bytes.

    Raises:
        OSError: the path cannot be examined, or is a pipe, a socket, a device or a folder.
    """
    status = status_of(path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe or device, not a file", str(path))
    return status.st_size


def status_of(path: str | Path) -> os.stat_result:
    """The status of what is at a path.

    Raises:
        OSError: the path cannot be examined, or no file can have such a name.
    """
    if "\0" in str(path):  # a ValueError elsewhere
        raise OSError(errno.EINVAL, NUL, str(path))
    return Path(path).stat()


def exists(path: str | Path) -> bool:
    """Whether a path exists; unlike `Path.exists`, False if no file can have such a name (it may be too long)."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """Whether a path is a file; like `exists`, never raises."""
    return os.path.isfile(path)  # noqa: PTH113


def is_dir(path: str | Path) -> bool:
    """Whether a path is a folder; like `exists`, never raises."""
    return os.path.isdir(path)  # noqa: PTH112


def is_remote(path: str | Path) -> bool:
    """Whether a path is the address of an object in a store or on a web server, see `io.storage`.

    Example:
        >>> from pathlib import Path
        >>> from trishift.io.regular import is_remote
        >>> is_remote(Path("s3://bucket/clip.mp4")), is_remote("clips/s3/clip.mp4")
        (True, False)
    """
    return is_in_store(path) or _WEB.match(str(path)) is not None


def is_in_store(path: str | Path) -> bool:
    """Whether a path is the address of an object in a store, which unlike that of a web server is never a stream."""
    return _STORE.match(str(path)) is not None


def joined(root: Path, name: str) -> Path:
    """`root / name`, where an address is an absolute path."""
    return Path(name) if is_remote(name) else root / name
