"""The definition of a clip: videos and frame folders, found by path for every command.

A clip is a file in a container that FFmpeg opens, whatever its suffix, or a folder of numbered pictures: frames, or
optical flow in one or two folders. Single pictures are not clips.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trishift.data.frames import VIDEO_SUFFIXES
from trishift.data.parts import split_part
from trishift.data.picture_names import PICTURE_SUFFIXES, find_series, flow_folders, is_mask_folder
from trishift.data.video import probe
from trishift.errors import DataError
from trishift.io.regular import exists, is_dir, is_file, is_remote
from trishift.io.wording import shown_first

_NOT_CLIPS = frozenset(
    {".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".md", ".xml", ".html", ".pdf", ".db", ".ini", ".zip"}
)
_LISTS = frozenset({".txt", ".csv", ".tsv"})
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/.*", re.DOTALL)  # a Path joins the two slashes to one


@dataclass
class FoundClips:
    """Clips below some paths.

    Attributes:
        clips: videos and frame folders.
        skipped: maps each reason to the files and folders that are not clips for it.
    """

    clips: list[Path] = field(default_factory=list)
    skipped: defaultdict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def warnings(self) -> list[str]:
        """One line per reason, with the number of skipped paths and the first few of them."""
        return [f"skipped {reason} ({len(paths)}): {shown_first(paths, 3)}" for reason, paths in self.skipped.items()]


def find_clips(path: str | Path) -> FoundClips:
    """Find the clips that a path names: the path if it is a clip, or all clips below a folder, sorted.

    Hidden files and folders are ignored.

    Raises:
        DataError: the path is a URL, a list, or a folder without clips.

    Example:
        >>> from trishift.data.finding import find_clips
        >>> find_clips("clip.mp4").clips
        [PosixPath('clip.mp4')]
    """
    path = Path(path)
    if is_remote(path):
        return FoundClips([path])
    if _URL.fullmatch(str(path)) and not exists(path):
        address = re.sub(":/+", "://", str(path), count=1)  # a path keeps one slash
        raise DataError(
            f"{address}: a URL; download the video first, or use trishift timeline or trishift stream, which read URLs"
        )
    found = FoundClips()
    file, part = split_part(path)
    if is_file(file) and file.suffix.lower() in _LISTS:
        raise DataError(f"{path}: a list or table, not a video; name it with --filelist to read the videos in it")
    if part is not None or not is_dir(file):
        found.clips.append(path)
        return found
    _search(path, found)
    found.clips.sort()
    if not found.clips:
        reasons = "; ".join(found.warnings())
        raise DataError(f"{path}: no clips in this folder ({reasons or 'it is empty'}); give videos or frame folders")
    return found


def file_kind(path: Path) -> Literal["video", "picture", "special", "other"]:
    """Kind of a file, by its suffix or, if that is unknown, by opening it; pipes and devices are special."""
    suffix = path.suffix.lower()
    if exists(path) and not is_file(path):
        return "special"
    if suffix in _NOT_CLIPS:
        return "other"
    if suffix in PICTURE_SUFFIXES:
        return "picture"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    try:
        probe(path)
    except DataError:
        return "other"
    return "video"


def _search(root: Path, found: FoundClips) -> None:
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(root, followlinks=True):
        here = Path(parent)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder that is searched anyway
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        kinds: dict[str, list[Path]] = {"video": [], "picture": [], "special": [], "other": []}
        for name in sorted(files):
            if not name.startswith("."):
                kinds[file_kind(here / name)].append(here / name)
        found.clips += kinds["video"]
        _skip(found, "pipes, sockets and devices", kinds["special"])
        _skip(found, "files that are not clips", kinds["other"])
        pair = flow_folders(here)
        if pair is not None and all(_holds_series(folder) for folder in pair):
            found.clips.append(here)
            folders[:] = [name for name in folders if here / name not in pair]
        elif is_mask_folder(here) and kinds["picture"]:
            _skip(found, "folders of masks", [here])
        elif kinds["picture"] and not kinds["video"] and find_series(picture.name for picture in kinds["picture"]):
            found.clips.append(here)
        else:
            _skip(found, "single pictures (a clip is a video or a folder of numbered pictures)", kinds["picture"])


def _holds_series(folder: Path) -> bool:
    return bool(find_series(entry.name for entry in folder.iterdir()))


def _skip(found: FoundClips, reason: str, paths: list[Path]) -> None:
    if paths:
        found.skipped[reason] += paths
