"""Index of a download: clips by name, and all other files."""

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
    """Folder name for converted clips, such as `frames-256` or `videos-256`."""
    return f"{kind}-{short_side}"


def is_converted(folder_name: str) -> bool:
    """Whether a folder is named like one for converted clips."""
    return _CONVERTED.fullmatch(folder_name) is not None


def walk(folder: Path, unfollowed: list[Path] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Yield (folder, file names) for a folder and everything below it; hidden files and folders are skipped.

    Links to folders are followed, except to a folder above them, which would never end.

    Args:
        folder: the folder.
        unfollowed: if given, every folder is entered only once: receives the links to folders that are entered anyway.

    Raises:
        DataError: a folder cannot be read.
    """
    entered = [folder.resolve()]
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in [here / name for name in folders if (here / name).is_symlink()]:
            target = path.resolve()
            if unfollowed is None:
                is_followed = not here.resolve().is_relative_to(target)
            elif any(target.is_relative_to(other) or other.is_relative_to(target) for other in entered):
                is_followed = False
                unfollowed.append(path)
            else:
                is_followed = True
                entered.append(target)
            if not is_followed:
                folders.remove(path.name)
        yield here, sorted(name for name in files if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror}); check its permissions")


def archives_below(folder: Path) -> list[Path]:
    """Files named like archives."""
    return [parent / name for parent, names in walk(folder) for name in names if is_archive(Path(name))]


class Tree:
    """Index of some folders; nested folders are counted once.

    Videos and frame folders are found by name without suffix, optionally preceded by parent folders.
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
        """The clip matching the first possible name (`waving/clip7`, or `clip7` in any folder), None if there is none.

        Among several matches, downloads are preferred to conversions, folders named `replacement...` (used by the
        Kinetics mirror for repaired files) to others, and videos to frame folders.
        """
        for name in names:
            wanted = PurePosixPath(name).parts
            found = [path for path in self._clips.get(wanted[-1], ()) if _lies_in(path, wanted[:-1])]
            if found:
                return min(found, key=_preference)
        return None

    def files(self, pattern: str) -> list[Path]:
        """Files other than clips and pictures whose full name matches a regular expression, ignoring case."""
        expression = re.compile(pattern, re.IGNORECASE)
        return sorted(path for path in self._files if expression.fullmatch(path.name))

    def file(self, pattern: str, usual_name: str) -> Path:
        """The only matching file; copies with the same content count as one.

        Raises:
            DataError: no file matches, or several with different content do.
        """
        found = self.files(pattern)
        where = ", ".join(map(str, self.folders))
        if not found:
            raise DataError(f"{where}: {usual_name} is missing; download the annotations into this folder")
        for other in found[1:]:
            if other.read_bytes() != found[0].read_bytes():
                raise DataError(f"{where}: {found[0]} and {other} differ; keep the one that belongs to the clips")
        return found[0]


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """The folders that are not inside another of them."""
    unique = [path for path in dict.fromkeys(folders) if path.is_dir()]
    return [path for path in unique if not any(path != other and path.is_relative_to(other) for other in unique)]


def _lies_in(path: Path, folders: tuple[str, ...]) -> bool:
    return not folders or path.parts[-1 - len(folders) : -1] == folders


def _preference(path: Path) -> tuple[bool, bool, bool, str]:
    is_replacement = any(part.startswith("replacement") for part in path.parts)
    is_conversion = any(map(is_converted, path.parts))
    return is_conversion, not is_replacement, path.suffix.lower() not in VIDEO_SUFFIXES, path.as_posix()
