"""Find the clips below a folder, with the class of each and the ready split it belongs to.

CLIPS/wave/a.mp4            a class folder holds videos and frame folders, at any depth
CLIPS/train/wave/a.mp4      a ready split: `train`, and `val` or `test`, in their usual spellings
CLIPS/wave/train/a.mp4      the same, with the classes outside
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trishift.data.finding import file_kind
from trishift.data.prepare.files import readable
from trishift.data.prepare.tree import is_converted, walk
from trishift.data.split_names import split_of
from trishift.errors import DataError
from trishift.io.wording import nearest_path

_LINE_BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")


@dataclass(frozen=True)
class FoundClip:
    """A clip that was found but not yet opened.

    Attributes:
        path: path relative to the clips' folder; may name a part of a video, see `parts`.
        labels: class names; several only in annotated parts of videos.
        split: `train`, `val` or `test` if the clip belongs to a ready split.
        is_background: whether nobody has marked it; such clips look alike wherever nothing moves.
    """

    path: Path
    labels: tuple[str, ...]
    split: str | None = None
    is_background: bool = False


@dataclass
class Found:
    """The clips of a folder or table, and everything to report about the search.

    Attributes:
        clips: the clips, sorted by path.
        skipped: reason to the skipped files and folders.
        missing: table to its clips that do not exist.
        notes: decisions made.
        warnings: doubtful findings.
    """

    clips: list[FoundClip] = field(default_factory=list)
    skipped: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def skip(self, reason: str, paths: Iterable[Path]) -> None:
        """Record skipped files or folders."""
        names = [path.as_posix() for path in paths]
        if names:
            self.skipped[reason] += names


def find_clips(directory: Path, output: Path | None = None) -> Found:
    """Find the videos and frame folders of every class folder.

    Hidden files are ignored. See `finding.file_kind` for the files that are taken for videos.

    Args:
        directory: the folder.
        output: a folder whose lists and converted clips are ignored if it is inside `directory`.

    Raises:
        DataError: the folder does not exist, has no clips in class folders, has pictures directly in a class folder,
            or splits without class folders.
    """
    if not directory.is_dir():
        hint = nearest_path(directory) or "; give the folder that holds one folder of clips per class"
        raise DataError(f"{directory}: not a folder{hint}")
    found = Found()
    videos, pictures, folders = _candidates(directory, output, found)
    paths = sorted([*videos, *pictures])
    if not paths:
        raise DataError(
            f"{directory}: no clips in class folders; put them into {directory}/CLASS/, one folder per class"
        )
    level = _split_level(directory, paths, found)
    class_level = 1 if level == 0 else 0
    first_clip_level = class_level + (2 if level == 1 else 1)
    found.skip("clips outside class folders", (path for path in videos if len(path.parts) <= first_clip_level))
    _reject_loose_pictures(directory, pictures, first_clip_level)
    class_folders = (folder for folder in folders if len(folder.parts) == class_level + 1)
    found.skip("class folders without clips", (f for f in class_folders if not any(p.is_relative_to(f) for p in paths)))
    for path in paths:
        split = None if level is None else split_of(path.parts[level])
        if len(path.parts) > first_clip_level and (level is None or split is not None):
            found.clips.append(FoundClip(path, (path.parts[class_level],), split))
    return found


def check_class_names(names: Iterable[str], source: Path) -> None:
    """Raises DataError if a class name cannot be written to a label file."""
    for name in sorted(names):
        problem = None
        if not _is_utf8(name):
            problem = "is not UTF-8"
        elif any(ord(character) < 32 or ord(character) == 127 for character in name) or _LINE_BREAKS & set(name):
            problem = "contains a control character"
        elif name != name.strip() or not name:
            problem = "is empty or begins or ends with a space"
        if problem:
            raise DataError(f"{source}: the name of class {readable(name)!r} {problem}; rename the class")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _candidates(directory: Path, output: Path | None, found: Found) -> tuple[list[Path], list[Path], list[Path]]:
    """(videos, folders of pictures, all folders) below the top folder, without a video's own extracted frames."""
    videos: list[Path] = []
    pictures: list[Path] = []
    folders: list[Path] = []
    beside: list[Path] = []
    links: list[Path] = []
    for parent, names in walk(directory, links):
        here = parent.relative_to(directory)
        if output is not None and _is_output(parent, directory, output):
            if not any(map(is_converted, parent.relative_to(output).parts)):
                inside = (here / name for name in names if file_kind(directory / here / name) == "video")
                found.skip("clips inside the output folder", inside)
            continue
        files = [here / name for name in names if not _LINE_BREAKS & set(name) and name == name.strip()]
        unlisted = (here / name for name in names if here / name not in files)
        found.skip("clips whose names do not fit into a list", unlisted)
        of_kind: dict[str, list[Path]] = {"video": [], "picture": [], "special": [], "other": []}
        for file in files:
            of_kind[file_kind(directory / file)].append(file)
        found.skip("pipes, sockets and devices", of_kind["special"])
        found.skip("files that are not clips", of_kind["other"])
        if not here.parts:
            found.skip("clips outside class folders", [*of_kind["video"], *of_kind["picture"]])
            continue
        folders.append(here)
        videos += of_kind["video"]
        if of_kind["video"]:
            beside += of_kind["picture"]
        elif of_kind["picture"]:
            pictures.append(here)
    found.skip("links to folders that are searched anyway", (path.relative_to(directory) for path in links))
    found.skip("pictures beside videos", beside)
    own_frames = {video.with_suffix("") for video in videos} & set(pictures)
    found.skip("extracted frames of a listed video", sorted(own_frames))
    return videos, [folder for folder in pictures if folder not in own_frames], folders


def _is_output(folder: Path, directory: Path, output: Path) -> bool:
    """Whether a folder belongs to the results of an earlier run."""
    if not folder.is_relative_to(output) or folder == directory:
        return False
    return output != directory or is_converted(folder.relative_to(output).parts[0])


def _split_level(directory: Path, paths: Sequence[Path], found: Found) -> int | None:
    """The path level at which folders are named like splits: 0, 1 below the classes, or None."""
    tops: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        tops[path.parts[0]].append(path)
    splits = sorted(top for top in tops if split_of(top))
    others = sorted(set(tops) - set(splits))
    kinds = {split_of(top) for top in splits}
    has_classes = {top for top in splits if any(len(path.parts) > 2 for path in tops[top])}
    with_classes = {split_of(top) for top in has_classes}
    if splits and not others and "train" not in kinds:
        raise DataError(f"{directory}: has {', '.join(splits)} but no train folder; add it, or rename the folders")
    if splits and not others and "train" not in with_classes:
        raise DataError(
            f"{directory}: {', '.join(splits)} look like splits but hold no class folders; put the clips into "
            f"{splits[0]}/CLASS/, or rename the folders if they are classes"
        )
    if "train" in with_classes and (len(with_classes) > 1 or not others):
        found.notes.append(f"ready split: {', '.join(sorted(has_classes))}")
        for other in others:
            found.skip(f"clips beside {' and '.join(splits)}", tops[other])
        return 0
    inner = {path.parts[1] for path in paths if len(path.parts) > 2}
    is_split = all(map(split_of, inner)) and {"train"} < set(map(split_of, inner))
    if is_split and all(len(path.parts) > 2 for path in paths):
        found.notes.append(f"ready split inside the class folders: {', '.join(sorted(inner))}")
        return 1
    return None


def _reject_loose_pictures(directory: Path, pictures: Sequence[Path], first_clip_level: int) -> None:
    """Raises DataError where a class folder holds pictures instead of clips; they may be anything."""
    for folder in pictures:
        if len(folder.parts) <= first_clip_level:
            raise DataError(
                f"{directory / folder}: holds pictures directly; put the frames of each clip into a folder of its own, "
                f"{folder}/CLIP/img_00001.jpg"
            )
