"""Find the videos that annotations name: label tools know them by addresses, uploads or identifiers."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from trishift.data.frames import VIDEO_SUFFIXES
from trishift.errors import DataError
from trishift.io.regular import exists
from trishift.io.wording import shown_first

_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # before the name of a file uploaded to Label Studio
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_TEXTS = frozenset({".json", ".xml", ".csv", ".tsv", ".txt", ".eaf", ".md"})
_SHOWN = 3


class VideoNames:
    """Videos that can be asked for under the names that other tools give them.

    Args:
        paths: the videos.
        place: where they are, for errors.
    """

    def __init__(self, paths: Iterable[PurePosixPath], place: str) -> None:
        self._place = place
        self._by_name: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in paths:
            for key in dict.fromkeys(_spellings(path.name)):
                self._by_name[key].append(path)

    def find(self, name: str) -> PurePosixPath | None:
        """The video of a name; None if there is none.

        The name may be a path of another machine, an address, a name without suffix, or that of a copy with another
        suffix. Of several files of one name, the one in the same folders is taken.

        Raises:
            DataError: several files fit equally well.
        """
        parts = plain_path(name).parts
        if not parts:
            return None
        for wanted in _spellings(parts[-1]):
            if wanted in self._by_name:
                found = self._by_name[wanted]
                exact = [path for path in found if wanted in (path.name, path.stem)]
                return self._closest(name, exact or found, parts[:-1])
        return None

    def _closest(self, name: str, found: list[PurePosixPath], folders: tuple[str, ...]) -> PurePosixPath:
        """The path that shares most folders with a name, counted from the end; videos before frame folders."""
        shared = [_common(path.parts[-2::-1], folders[::-1]) for path in found]
        is_video = [path.suffix.lower() in VIDEO_SUFFIXES for path in found]
        ranks = list(zip(shared, is_video, strict=True))
        best = [path for path, rank in zip(found, ranks, strict=True) if rank == max(ranks)]
        if len(best) > 1:
            raise DataError(
                f"{name}: may be any of {shown_first(best, _SHOWN)} in {self._place}; leave one of them, or name its "
                "folders, too"
            )
        return best[0]


class VideoFolder:
    """The videos and frame folders below a folder; searched once, at the first question that needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: VideoNames | None = None

    def find(self, name: str) -> Path | None:
        """The video of a name, relative to the folder, as in `VideoNames.find`."""
        path = plain_path(name)
        exact = next((each for each in (Path(name), Path(path)) if each.parts and exists(self._folder / each)), None)
        if exact is not None:
            return exact
        self._names = self._names or VideoNames(_search(self._folder), str(self._folder))
        found = self._names.find(name)
        return None if found is None else Path(found)


def _spellings(name: str) -> Iterator[str]:
    """A file name, also without Label Studio's prefix, without its suffix, and without ActivityNet's `v_`."""
    for whole in (name, _UPLOAD.sub("", name)):
        yield from (whole, PurePosixPath(whole).stem)
        yield from (whole.removeprefix("v_"), PurePosixPath(whole).stem.removeprefix("v_"))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Number of equal words at the beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def plain_path(name: str) -> PurePosixPath:
    """The path in a name: `host/a/b.mp4` of `https://host/a/b.mp4?x=1`, `a/b.mp4` of `/data/local-files/?d=a/b.mp4`."""
    if "?d=" in name:
        name = name.partition("?d=")[2]
    elif _ADDRESS.match(name):
        name = re.split(r"[?#]", name)[0]
    path = unquote(_ADDRESS.sub("", name)).replace("\\", "/")
    return PurePosixPath(*(part for part in path.split("/") if part not in ("", ".", "..") and part[-1] != ":"))


def _search(folder: Path) -> Iterator[PurePosixPath]:
    """The files and folders below a folder that may be videos."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        videos = (name for name in sorted(files) if Path(name).suffix.lower() not in _TEXTS and name[0] != ".")
        yield from (PurePosixPath((here / name).as_posix()) for name in (*videos, *folders))
