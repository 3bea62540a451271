"""The version of this package, which checkpoints, run folders and exports record."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

__version__ = "0.1.0"


@cache
def version_of(*folders: str) -> str:
    """A hash of the version and of the sources in some folders of this package, for what is kept between calls.

    A checkout of this package changes what it computes long before it changes its number.

    Example:
        >>> from trishift.version import version_of
        >>> version_of("model") == version_of("model", "export")
        False
    """
    digest = hashlib.sha256(__version__.encode())
    for folder in folders:
        for path in sorted((Path(__file__).parent / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
