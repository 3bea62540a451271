"""The model and the videos that a command's arguments name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import execution_of, import_options
from trishift.data.frames import VIDEO_SUFFIXES
from trishift.errors import DataError

if TYPE_CHECKING:
    from trishift.api import Model


def load_model(options: argparse.Namespace) -> Model:
    """The model of `--checkpoint`, ready to run."""
    from trishift.api import load

    return load(
        options.checkpoint,
        options.framework,
        execution=execution_of(options),
        runtime=getattr(options, "runtime", None),
        **import_options(options),
    )


def add_videos(parser: argparse.ArgumentParser) -> None:
    """Add `--filelist`, `--root` and `VIDEO`."""
    parser.add_argument("--filelist", type=Path, help="list of videos, with or without labels")
    parser.add_argument("--root", type=Path, help="folder that the list's paths are relative to")
    parser.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEO", help="video, frame folder, or folder of videos"
    )


def videos_of(options: argparse.Namespace) -> list[Path]:
    """The videos of the arguments, then those of `--filelist`.

    Raises:
        DataError: there are none.
    """
    videos = [path for video in options.videos for path in _expand(video)]
    if options.filelist:
        videos += listed(options.filelist, options.root)
    if not videos:
        raise DataError("give at least one VIDEO or a --filelist")
    return videos


def _expand(path: Path) -> list[Path]:
    """The videos of a folder of videos; a video or a frame folder stands for itself."""
    if path.is_dir():
        videos = sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        return videos or [path]
    return [path]


def listed(filelist: Path, root: Path | None) -> list[Path]:
    """The videos of a list, whose lines are paths alone or carry frame counts and labels, too."""
    from trishift.data.lists import read_list

    plain = [record.path for record in read_list(filelist, root, has_labels=False)]
    if any(path.exists() for path in plain):
        return plain
    try:
        return [record.path for record in read_list(filelist, root)]
    except DataError:
        return plain  # paths alone, none of which is there: each will be reported
