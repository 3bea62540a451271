"""The folder of downloaded weights, and the environment variables that direct downloads.

    TRISHIFT_HOME     the folder; default: the user's cache folder
    TRISHIFT_OFFLINE  1 forbids every request
    TRISHIFT_MIRROR   address or folder with a copy of `weights/`, tried before the publishers' addresses

Layout: `weights/NAME/` holds a published file and its canonical conversion, `addresses/KEY/` the file of an address,
and `SHA256SUMS` the hash of every downloaded file. `sha256sum -c SHA256SUMS` checks them; a copy of that file on
another machine makes it accept only the same files.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trishift.errors import CheckpointError, OutputError
from trishift.io.atomic import make_folder, write_text
from trishift.io.locks import locked

_LOG = logging.getLogger(__name__)
_SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_SECONDS_BETWEEN_TRIES = 0.2


class HomeError(OutputError):
    """The home folder cannot be written; the message names TRISHIFT_HOME."""


def home() -> Path:
    """The folder of downloaded weights, as an absolute path; it may not exist yet.

    Raises:
        HomeError: TRISHIFT_HOME begins with an unknown `~user`.
    """
    if given := os.environ.get("TRISHIFT_HOME"):
        return _local_path("TRISHIFT_HOME", given)
    import pooch

    return Path(pooch.os_cache("trishift"))


def is_offline() -> bool:
    """Whether requests are forbidden."""
    return os.environ.get("TRISHIFT_OFFLINE", "").lower() not in ("", "0", "false", "no")


def mirror() -> str | None:
    """Start of the mirror's addresses, with a slash at its end.

    Raises:
        CheckpointError: TRISHIFT_MIRROR is an address of another kind than http, https and file.
        HomeError: it begins with an unknown `~user`.
    """
    given = os.environ.get("TRISHIFT_MIRROR")
    if not given:
        return None
    scheme, separator, _ = given.partition("://")
    if separator and scheme.lower() not in ("http", "https", "file"):
        raise CheckpointError(
            f"TRISHIFT_MIRROR={given}: mirrors are folders or http://, https:// and file:// addresses; correct it"
        )
    return (given if separator else _local_path("TRISHIFT_MIRROR", given).as_uri()).rstrip("/") + "/"


def _local_path(variable: str, given: str) -> Path:
    try:
        return Path(given).expanduser().absolute()
    except RuntimeError:  # ~user of nobody
        raise HomeError(f"{variable}={given}: no such user's home folder; write the whole path") from None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is created if missing; waits for another process that holds it.

    Raises:
        HomeError: the folder, or a file that is written while its lock is held, cannot be written.
    """
    try:
        make_folder(folder)
        waited = False
        while True:
            with locked(folder) as is_ours:
                if is_ours:
                    yield
                    return
            if not waited:
                _LOG.warning("%s: another process is writing here; waiting for it", folder)
                waited = True
            time.sleep(_SECONDS_BETWEEN_TRIES)
    except HomeError:
        raise
    except (OutputError, OSError) as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        reason = os.strerror(cause.errno).lower()
        raise HomeError(
            f"{folder}: cannot be written ({reason}); set TRISHIFT_HOME to a writable folder with enough space"
        ) from error


def read_sums() -> dict[str, str]:
    """Hash of every downloaded file, by its path below the home folder.

    Raises:
        CheckpointError: a line is damaged.
    """
    path = home() / _SUMS
    if not path.is_file():
        return {}
    return parse_sums(path.read_text(encoding="utf-8", errors="replace"), str(path))


def parse_sums(text: str, place: str) -> dict[str, str]:
    """Parse the lines of `SHA256SUMS`; `place` names the file in errors.

    Raises:
        CheckpointError: a line is damaged.
    """
    sums = {}
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if line.strip() and found is None:
            raise CheckpointError(f"{place}:{number}: {line[:60]!r} is not a sha256 and a path; remove the line")
        if found is not None:
            sums[found[2]] = found[1]
    return sums


def format_sums(sums: dict[str, str]) -> str:
    """Return the text of `SHA256SUMS`."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def record_sum(path: Path, digest: str) -> None:
    """Record the hash of a file below the home folder."""
    with claimed(home()):
        sums = read_sums()
        if sums.get(key_of(path)) != digest:
            write_text(home() / _SUMS, format_sums({**sums, key_of(path): digest}))


def key_of(path: Path) -> str:
    """A file's path below the home folder, as `SHA256SUMS` spells it."""
    return path.relative_to(home()).as_posix()
