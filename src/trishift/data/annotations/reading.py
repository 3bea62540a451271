"""Read annotations of any format, which is detected by the content of each file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from trishift.data.annotations import activitynet, cvat, elan, label_studio, tables, thumos, via
from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.records import Annotation, Annotations, check_tiers
from trishift.data.parts import Part
from trishift.errors import DataError, brief
from trishift.io.wording import nearest_path, one_of

LABEL_STUDIO = "label-studio"
_SUFFIXES = frozenset({".json", ".xml", ".csv", ".tsv", ".txt", ".eaf"})


class Format(NamedTuple):
    """A format of annotations.

    Attributes:
        title: its name in messages.
        recognizes: whether a file has this format.
        read: adds the annotations of a file.
        default_tier: the tier that is read unless others are chosen; None: the only one.
    """

    title: str
    recognizes: Callable[[AnnotationFile], bool]
    read: Callable[[AnnotationFile, Annotations], None]
    default_tier: str | None = None


FORMATS = {
    LABEL_STUDIO: Format("Label Studio", label_studio.recognizes, label_studio.read),
    "cvat": Format("CVAT", cvat.recognizes, cvat.read, cvat.LABEL),
    "via": Format("the VGG Image Annotator", via.recognizes, via.read),
    "elan": Format("ELAN", elan.recognizes, elan.read),
    "activitynet": Format("ActivityNet", activitynet.recognizes, activitynet.read),
    "thumos": Format("THUMOS", thumos.recognizes, thumos.read),
    "charades": Format("Charades", tables.recognizes_charades, tables.read_charades),
    "epic-kitchens": Format("EPIC-KITCHENS", tables.recognizes_epic, tables.read_epic, tables.VERB),
    "boris": Format("BORIS", tables.recognizes_boris, tables.read_boris),
    "table": Format("a table", tables.recognizes_table, tables.read_table),
}


def read_annotations(
    paths: Sequence[Path],
    format_name: str | None = None,
    tiers: Collection[str] = (),
    frame_rate: float | None = None,
) -> Annotations:
    """Read the annotations of files, or of all files in folders.

    Args:
        paths: files and folders. In folders, files of no known format are skipped.
        format_name: a key of `FORMATS`; None: detected for each file.
        tiers: the layers whose labels are read; empty: the format's usual one, or the only one.
        frame_rate: frames per second by which annotations in frames become seconds; None: they are frames of the video.

    Raises:
        DataError: a file cannot be read, has no known format or another version of it, or the tiers are ambiguous.

    Example:
        >>> from pathlib import Path
        >>> from trishift.data.annotations import read_annotations
        >>> _ = Path("jumps.csv").write_text("video,start,end,label\\nday1.mp4,1:02,1:05.5,jump\\n")
        >>> [(found.video, str(found.part), found.label) for found in read_annotations([Path("jumps.csv")]).found]
        [('day1.mp4', '#t=62,65.5', 'jump')]
    """
    if format_name is not None and format_name not in FORMATS:
        raise DataError(f"format {format_name!r} is unknown{one_of(format_name, FORMATS)}")
    whole, present, used = Annotations(), set[str](), set[str | None]()
    for path in paths:
        for file in _files(path):
            part, name = _read(AnnotationFile(file), format_name, path.is_dir())
            used.add(name)
            present |= part.tiers.keys()
            part.select({*tiers}, FORMATS[name].default_tier if name else None, str(file))
            whole.join(part)
    check_tiers({*tiers}, present)
    if frame_rate is not None:
        whole.found, whole.excluded = (_timed(each, frame_rate) for each in (whole.found, whole.excluded))
    elif LABEL_STUDIO in used and not all(each.part.seconds for each in whole.found):
        whole.notes.append(
            "Label Studio's frames are taken for frames of the videos; where the tag Video has another framerate (24 "
            "by default), give it with --frame-rate"
        )
    whole.drop_repeats()
    return whole


def _timed(annotations: Sequence[Annotation], frame_rate: float) -> list[Annotation]:
    """The annotations with all frames in seconds."""
    return [
        each
        if each.part.seconds
        else replace(each, part=Part(each.part.start / frame_rate, each.part.end / frame_rate, seconds=True))
        for each in annotations
    ]


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder{nearest_path(path) or '; give the exported annotations'}")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not files:
        raise DataError(f"{path}: holds no annotations; they are files ending in {', '.join(sorted(_SUFFIXES))}")
    return files


def _read(file: AnnotationFile, format_name: str | None, may_skip: bool) -> tuple[Annotations, str | None]:
    """The annotations of a file, and the name of its format; None if it has none."""
    into = Annotations(place=str(file.path))
    name = format_name or next((name for name, each in FORMATS.items() if each.recognizes(file)), None)
    if name is None:
        if may_skip:
            into.skip("files that hold no annotations")
            return into, None
        formats = ", ".join(FORMATS)
        raise DataError(f"{file.path}: its format is not recognized; export one of {formats}, or name it with --format")
    chosen = FORMATS[name]
    try:
        chosen.read(file, into)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # whatever is there instead
        detail = f"{type(error).__name__}: {brief(error, 80)}"
        raise DataError(f"{into.place}: not as {chosen.title} writes it ({detail}); export it again") from None
    return into, name
