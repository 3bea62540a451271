"""CVAT: XML 1.1 of videos (tracks) and of pictures of a video (tags).

The label of a track is the tier `label`; the attributes of its shapes are further tiers. Frames are numbers of the
video from 0, whatever the step of the task. https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby
from xml.etree.ElementTree import Element

from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.records import Annotations
from trishift.errors import DataError

LABEL = "label"
_VERSION = "1.1"
_SHAPES = frozenset({"box", "polygon", "polyline", "points", "cuboid", "mask", "skeleton", "ellipse"})
_UNDEFINED = frozenset({"", "__undefined__"})


def recognizes(file: AnnotationFile) -> bool:
    """Whether a file is an export of CVAT."""
    return file.xml is not None and file.xml.tag == "annotations" and file.xml.find("version") is not None


def read(file: AnnotationFile, into: Annotations) -> None:
    """Add the visible spans of tracks, and runs of frames with the same tag."""
    assert file.xml is not None
    root = file.xml
    version = (root.findtext("version") or "").strip()
    if version != _VERSION:
        raise DataError(f"{file.path}: CVAT XML version {version or 'unknown'}; export 'CVAT for video 1.1'")
    meta = root.find("meta")
    videos, step = _videos(meta), _step(meta)
    known = {name.text for name in meta.iterfind(".//labels/label/name")} if meta is not None else set()
    tracks, images = root.findall("track"), root.findall("image")
    if (tracks or images) and not videos:
        raise DataError(f"{file.path}: names no video in <source>; it is a task of pictures, export one of a video")
    for track in tracks:
        into.place = f"{file.path}: track {track.get('id')}"
        if known and track.get("label") not in known:
            into.skip("labels that the CVAT task does not have", f" ({track.get('label')})")
            continue
        video = _video(videos, track.get("task_id"))
        for tier, label, span in _spans(track, step):
            into.add(video, span, label, seconds=False, tier=tier)
    _read_tags(file, images, videos, step, into)


def _videos(meta: Element | None) -> dict[str | None, str]:
    """Task to its video; the first one also under None."""
    videos: dict[str | None, str] = {}
    for owner in [] if meta is None else meta.iter():
        if source := owner.findtext("source"):
            videos.setdefault(None, source.strip())
            videos[owner.findtext("id")] = source.strip()
    return videos


def _video(videos: Mapping[str | None, str], task: str | None) -> str:
    return videos.get(task) or videos[None]


def _step(meta: Element | None) -> int:
    text = "" if meta is None else meta.findtext(".//frame_filter") or ""
    step = text.strip().removeprefix("step=")
    return max(1, int(step)) if step.isdecimal() else 1


def _spans(track: Element, step: int) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """(tier, label, frames) of a track: a value lasts until the next shape with another one."""
    shapes = sorted((s for s in track if s.tag in _SHAPES), key=lambda shape: int(shape.attrib["frame"]))
    values: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    tiers = {LABEL, *(name for shape in shapes for name, _ in _attributes(shape))}
    for shape in shapes:
        found = {} if _outside(shape) else {LABEL: track.get("label", ""), **dict(_attributes(shape))}
        for tier in tiers:
            values[tier].append((int(shape.attrib["frame"]), found.get(tier, "")))
    for tier in sorted(tiers):
        starts = [next(run) for _, run in groupby(values[tier], key=lambda pair: pair[1])]
        ends = [frame for frame, _ in starts[1:]] + [values[tier][-1][0] + step if shapes else 0]
        for (start, label), end in zip(starts, ends, strict=False):
            if label:
                yield tier, label, (start, end)


def _outside(shape: Element) -> bool:
    inner = [each for each in shape if each.tag in _SHAPES]
    if "outside" not in shape.attrib and inner:  # a skeleton
        return all(each.get("outside") == "1" for each in inner)
    return shape.get("outside") == "1"


def _attributes(shape: Element) -> Iterator[tuple[str, str]]:
    """Name and value; a checkbox that is on has its name as the value."""
    for attribute in shape.iterfind("attribute"):
        name, text = attribute.get("name", ""), (attribute.text or "").strip()
        if text in _UNDEFINED or text == "false":
            continue
        yield name, name if text == "true" else text


def _read_tags(
    file: AnnotationFile, images: list[Element], videos: Mapping[str | None, str], step: int, into: Annotations
) -> None:
    frames: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for image in images:
        into.place = f"{file.path}: image {image.get('id')}"
        for tag in image.iterfind("tag"):
            video = _video(videos, image.get("task_id"))
            for tier, label in ((LABEL, tag.get("label", "")), *_attributes(tag)):
                frames[video, tier, label].append(int(image.attrib["id"]))
        if any(shape.tag in _SHAPES for shape in image):
            into.skip("CVAT shapes of single frames")
    for (video, tier, label), numbers in frames.items():
        numbers.sort()
        start = previous = numbers[0]
        for number in [*numbers[1:], -1]:
            if number != previous + step:
                into.place = f"{file.path}: images {start} to {previous}"
                into.add(video, (start, previous + step), label, seconds=False, tier=tier)
                start = number
            previous = number
