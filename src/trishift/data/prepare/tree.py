"""What lies below some folders: clips by name, and all other files."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from trishift.data.frames import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from trishift.data.prepare.archives import is_archive
from trishift.errors import DataError

_CONVERTED = re.compile(r"(frames|videos)-\d+")


def converted_folder(kind: str, short_side: int) -> str:
    """Name of the folder for converted clips: `frames-256`, `videos-256`."""
    return f"{kind}-{short_side}"


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """(folder, names of its files) for everything below; hidden files and folders are passed over."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(parent), sorted(name for name in files if not name.startswith("."))


def archives_below(folder: Path) -> list[Path]:
    """Files whose names are those of archives."""
    return [parent / name for parent, names in walk(folder) for name in names if is_archive(Path(name))]


class Tree:
    """An index of some folders; folders within one another count once.

    Videos and frame folders are found by their name without suffix, alone or after the folders that it must lie in.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = _outermost(folders)
        self._clips: defaultdict[str, list[Path]] = defaultdict(list)
        self._files: list[Path] = []
        for folder in self.folders:
            for parent, names in walk(folder):
                self._add(parent, names, is_clip=parent != folder)

    def _add(self, parent: Path, names: list[str], is_clip: bool) -> None:
        has_pictures = False
        for name in names:
            stem, dot, extension = name.rpartition(".")
            suffix = dot + extension.lower()
            if suffix in PICTURE_SUFFIXES:
                has_pictures = True
            elif suffix in VIDEO_SUFFIXES:
                self._clips[stem].append(parent / name)
            else:
                self._files.append(parent / name)
        if has_pictures and is_clip:
            self._clips[parent.name].append(parent)

    def clip(self, names: Sequence[str]) -> Path | None:
        """The clip that fits the first of some names (`waving/clip7`, or `clip7` in any folder).

        Of several, the downloaded one is preferred to a converted one, one in a folder called `replacement...` (which
        Kinetics' mirror has for its damaged files) to others, and a video to a frame folder.
        """
        for name in names:
            wanted = PurePosixPath(name).parts
            found = [path for path in self._clips.get(wanted[-1], ()) if _lies_in(path, wanted[:-1])]
            if found:
                return min(found, key=_preference)
        return None

    def files(self, pattern: str) -> list[Path]:
        """Files (no clips, no pictures) whose whole name fits a regular expression, in any case."""
        expression = re.compile(pattern, re.IGNORECASE)
        return sorted(path for path in self._files if expression.fullmatch(path.name))

    def file(self, pattern: str, usual_name: str) -> Path:
        """The one file that fits; several of the same content count as one.

        Raises:
            DataError: there is none, or there are different ones.
        """
        found = self.files(pattern)
        where = ", ".join(map(str, self.folders))
        if not found:
            raise DataError(f"{where}: there is no {usual_name}; download the annotations into this folder")
        for other in found[1:]:
            if other.read_bytes() != found[0].read_bytes():
                raise DataError(f"{where}: {found[0]} and {other} differ; keep the one that belongs to the clips")
        return found[0]


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """The folders without those that lie in another one of them."""
    unique = [path for path in dict.fromkeys(folders) if path.is_dir()]
    return [path for path in unique if not any(path != other and path.is_relative_to(other) for other in unique)]


def _lies_in(path: Path, folders: tuple[str, ...]) -> bool:
    return not folders or path.parts[-1 - len(folders) : -1] == folders


def _preference(path: Path) -> tuple[bool, bool, bool, str]:
    is_replacement = any(part.startswith("replacement") for part in path.parts)
    is_converted = any(_CONVERTED.fullmatch(part) for part in path.parts)
    return is_converted, not is_replacement, path.suffix.lower() not in VIDEO_SUFFIXES, path.as_posix()
