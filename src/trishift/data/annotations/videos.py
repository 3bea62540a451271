"""Find the videos that annotations name: label tools know them by addresses, uploads or identifiers."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from trishift.data.frames import VIDEO_SUFFIXES
from trishift.errors import DataError
from trishift.io.wording import shown_first

_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # before the name of a file uploaded to Label Studio
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_TEXTS = frozenset({".json", ".xml", ".csv", ".tsv", ".txt", ".eaf", ".md"})
_SHOWN = 3


class VideoFolder:
    """The videos and frame folders below a folder, by their names.

    Args:
        folder: searched once, at the first question.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: defaultdict[str, list[PurePosixPath]] | None = None

    def find(self, name: str) -> Path | None:
        """The video of a name, relative to the folder; None if there is none.

        The name may be a path of another machine, an address, a name without suffix, or that of a copy with another
        suffix. Of several files of one name, the one in the same folders is taken.

        Raises:
            DataError: several files fit equally well.
        """
        parts = PurePosixPath(_path(name)).parts
        if not parts:
            return None
        if (self.folder / Path(*parts)).exists() and ".." not in parts:
            return Path(*parts)
        last = _UPLOAD.sub("", parts[-1])
        for wanted in dict.fromkeys((parts[-1], last, f"v_{last}", Path(parts[-1]).stem, Path(last).stem)):
            found = self._named(wanted)
            if found:
                return Path(self._closest(name, found, parts[:-1]))
        return None

    def _named(self, wanted: str) -> list[PurePosixPath]:
        if self._by_name is None:
            self._by_name = _search(self.folder)
        return self._by_name.get(wanted, [])

    def _closest(self, name: str, found: list[PurePosixPath], folders: tuple[str, ...]) -> PurePosixPath:
        """The path that shares most folders with a name, counted from the end; videos before frame folders."""
        shared = [_common(path.parts[-2::-1], folders[::-1]) for path in found]
        is_video = [path.suffix.lower() in VIDEO_SUFFIXES for path in found]
        ranks = list(zip(shared, is_video, strict=True))
        best = [path for path, rank in zip(found, ranks, strict=True) if rank == max(ranks)]
        if len(best) > 1:
            raise DataError(
                f"{name}: may be any of {shown_first(best, _SHOWN)} in {self.folder}; give --clips a folder that holds "
                "one of them"
            )
        return best[0]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Number of equal words at the beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _path(name: str) -> str:
    """The path in an address: `a/b.mp4` of `https://host/a/b.mp4?x=1` and `/data/local-files/?d=a/b.mp4`."""
    if "?d=" in name:
        name = name.partition("?d=")[2]
    elif _ADDRESS.match(name):
        name = re.split(r"[?#]", name)[0]
    path = unquote(_ADDRESS.sub("", name)).replace("\\", "/")
    return "/".join(part for part in path.split("/") if part not in ("", ".", "..") and not part.endswith(":"))


def _search(folder: Path) -> defaultdict[str, list[PurePosixPath]]:
    """Name, with and without suffix, to the paths of files and folders below a folder."""
    by_name: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
    for parent, folders, files in os.walk(folder):
        here = Path(parent).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        videos = (name for name in sorted(files) if Path(name).suffix.lower() not in _TEXTS and name[0] != ".")
        for name in (*videos, *folders):
            path = PurePosixPath((here / name).as_posix())
            for key in {name, Path(name).stem}:
                by_name[key].append(path)
    return by_name
