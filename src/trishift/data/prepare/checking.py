"""Find and check the clips in a folder."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trishift.data.frames import PICTURE_SUFFIXES
from trishift.data.sources import open_clip
from trishift.data.video import VideoFile
from trishift.errors import DataError
from trishift.io.threads import map_in_threads

_NOT_CLIPS = frozenset(
    {".txt", ".csv", ".json", ".yaml", ".yml", ".md", ".xml", ".html", ".pdf", ".db", ".ini", ".zip"}
)
_TRUNCATED = 0.9  # fraction of the announced frames
_DECODED_BYTES = 32 * 2**20  # decoded per read


@dataclass(frozen=True)
class CheckedClip:
    """Result of decoding a clip completely.

    Attributes:
        path: path relative to the checked folder; its first part is the class.
        num_frames: number of decodable frames, 0 if none.
        announced_frames: frame count in the header, None if it has none.
        problem: reason why the clip cannot be used, or None.
    """

    path: Path
    num_frames: int = 0
    announced_frames: int | None = None
    problem: str | None = None

    @property
    def label(self) -> str:
        """Name of the class."""
        return self.path.parts[0]


def is_truncated(num_frames: int | None, announced_frames: int | None) -> bool:
    """Whether clearly fewer frames decode than the header announces."""
    return bool(num_frames and announced_frames and num_frames < _TRUNCATED * announced_frames - 1)


def find_clips(directory: Path) -> list[Path]:
    """Videos and frame folders anywhere below the class folders of `directory`, relative to it and sorted.

    Hidden files, texts and archives are passed over; any other file is taken for a video.

    Raises:
        DataError: the directory cannot be read, or there is no clip in any class folder.
    """
    if not directory.is_dir():
        raise DataError(f"{directory}: is not a folder; give the folder that holds one folder of clips per class")
    found: list[Path] = []
    for parent, folders, files in os.walk(directory, followlinks=True):
        here = Path(parent).relative_to(directory)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names = [name for name in files if not name.startswith(".")]
        suffixes = {Path(name).suffix.lower() for name in names}
        if len(here.parts) >= 2 and suffixes & PICTURE_SUFFIXES:
            found.append(here)
        elif here.parts:
            found += [here / n for n in names if Path(n).suffix.lower() not in _NOT_CLIPS | PICTURE_SUFFIXES]
    if not found:
        raise DataError(
            f"{directory}: no clips in class folders; put them into {directory}/CLASS/, one folder per class"
        )
    return sorted(found)


def check_clips(directory: Path, paths: Sequence[Path], workers: int | None = None) -> list[CheckedClip]:
    """Decode every clip completely, in threads and with a progress bar."""
    return map_in_threads(lambda path: check_clip(directory, path), paths, workers, "checking clips")


def check_clip(directory: Path, path: Path) -> CheckedClip:
    """Decode one clip completely."""
    try:
        with open_clip(directory / path) as source:
            announced = source.announced_frames if isinstance(source, VideoFile) else None
            position = 0
            step = 1
            while position < source.num_frames:
                frames = source.read(range(position, min(position + step, source.num_frames)))
                position += len(frames)
                step = max(1, _DECODED_BYTES // frames[0].nbytes)
            return CheckedClip(path, source.num_frames, announced)
    except DataError as error:
        return CheckedClip(path, problem=str(error))


def find_duplicates(directory: Path, paths: Sequence[Path]) -> dict[Path, Path]:
    """Clips with the very bytes of an earlier one: {clip: the first such clip}.

    Only clips of equal size are read.
    """
    by_size: defaultdict[tuple[int, ...], list[Path]] = defaultdict(list)
    for path in paths:
        by_size[tuple(file.stat().st_size for file in _files(directory / path))].append(path)
    first: dict[bytes, Path] = {}
    duplicates = {}
    for path in (path for same_size in by_size.values() if len(same_size) > 1 for path in same_size):
        original = first.setdefault(_digest(directory / path), path)
        if original != path:
            duplicates[path] = original
    return duplicates


def _files(clip: Path) -> list[Path]:
    """A video's file, or the files of a frame folder."""
    return sorted(file for file in clip.iterdir() if file.is_file()) if clip.is_dir() else [clip]


def _digest(clip: Path) -> bytes:
    digest = hashlib.sha256()
    for file in _files(clip):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.digest()
