"""ELAN: .eaf files of versions 2 and 3.

Alignable annotations refer to time slots; slots without a time lie evenly between their neighbors, as ELAN shows them.
Annotations that refer to others have their time, and several that divide one annotation have equal shares of it.
https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree.ElementTree import Element

import numpy as np

from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.records import Annotations
from trishift.errors import DataError

_ROOT = "ANNOTATION_DOCUMENT"
_VERSIONS = ("2", "3")
_DEEPEST = 100  # levels of annotations that refer to others

Times = dict[str, tuple[float, float]]


def recognizes(file: AnnotationFile) -> bool:
    """Whether a file is an ELAN document."""
    return file.xml is not None and file.xml.tag == _ROOT


def read(file: AnnotationFile, into: Annotations) -> None:
    """Add the annotations of all tiers."""
    root = file.xml
    if root is None or root.tag != _ROOT:
        raise DataError(f"{file.path}: has no element {_ROOT}; save it from ELAN as .eaf")
    version = root.get("FORMAT", "")
    if version and version.split(".")[0] not in _VERSIONS:
        raise DataError(f"{file.path}: EAF version {version}; save it as version 3.0 or 2.x (File > Save as 2.7)")
    header = root.find("HEADER")
    if header is not None and header.get("TIME_UNITS", "milliseconds") != "milliseconds":
        raise DataError(f"{file.path}: times are in {header.get('TIME_UNITS')}; save it with milliseconds")
    media = _media(file, header, into)
    times = _times(file, root)
    for tier in root.iterfind("TIER"):
        for annotation in tier.iterfind("ANNOTATION/*"):
            name = annotation.get("ANNOTATION_ID", "")
            into.place = f"{file.path}: annotation {name}"
            if name not in times:
                into.skip("ELAN annotations whose time is missing")
                continue
            start, end = times[name]
            bounds = (start + media.offset, end + media.offset)
            into.add(media.name, bounds, annotation.findtext("ANNOTATION_VALUE") or "", tier=tier.get("TIER_ID", ""))


@dataclass(frozen=True)
class _Media:
    """The annotated video and the seconds of it at which the annotations' time is 0."""

    name: str
    offset: float = 0.0


def _media(file: AnnotationFile, header: Element | None, into: Annotations) -> _Media:
    files = [] if header is None else header.findall("MEDIA_DESCRIPTOR")
    files.sort(key=lambda each: not each.get("MIME_TYPE", "").startswith("video"))  # stable: the first video
    if not files:
        into.notes.append(f"{file.path}: links no video, so the video of the same name is taken")
        return _Media(file.path.stem)
    address = files[0].get("RELATIVE_MEDIA_URL") or files[0].get("MEDIA_URL") or ""
    return _Media(unquote(address.removeprefix("file://")), int(files[0].get("TIME_ORIGIN", "0")) / 1000)


def _times(file: AnnotationFile, root: Element) -> Times:
    """Start and end of every annotation in seconds."""
    slots = _slots(root.iterfind("TIME_ORDER/TIME_SLOT"))
    times: Times = {}
    for annotation in root.iterfind("TIER/ANNOTATION/ALIGNABLE_ANNOTATION"):
        name = annotation.attrib["ANNOTATION_ID"]
        ends = [annotation.attrib[f"TIME_SLOT_REF{number}"] for number in (1, 2)]
        unknown = next((slot for slot in ends if slot not in slots), None)
        if unknown is not None:
            raise DataError(f"{file.path}: annotation {name}: there is no time slot {unknown}; save it again from ELAN")
        times[name] = (slots[ends[0]], slots[ends[1]])
    waiting = [list(_divided(tier).items()) for tier in root.iterfind("TIER")]
    for _ in range(_DEEPEST):
        for groups in waiting:
            for parent, children in groups:
                if parent in times and children[0] not in times:
                    times |= _shares(times[parent], children)
    return times


def _slots(elements: Iterable[Element]) -> dict[str, float]:
    """Time slot to its seconds; those without a time lie evenly between their neighbors."""
    order = [(each.attrib["TIME_SLOT_ID"], each.get("TIME_VALUE")) for each in elements]
    known = [(place, int(value) / 1000) for place, (_, value) in enumerate(order) if value is not None]
    if not known:
        return {}
    places, times = zip(*known, strict=True)
    values = np.interp(np.arange(len(order)), places, times)
    return {name: float(value) for (name, _), value in zip(order, values, strict=True)}


def _divided(tier: Element) -> dict[str, list[str]]:
    """Annotation to those of a tier that refer to it, each after its `PREVIOUS_ANNOTATION`."""
    children: defaultdict[str, list[str]] = defaultdict(list)
    for annotation in tier.iterfind("ANNOTATION/REF_ANNOTATION"):
        siblings = children[annotation.attrib["ANNOTATION_REF"]]
        previous = annotation.get("PREVIOUS_ANNOTATION")
        place = siblings.index(previous) + 1 if previous in siblings else len(siblings)
        siblings.insert(place, annotation.attrib["ANNOTATION_ID"])
    return children


def _shares(whole: tuple[float, float], names: list[str]) -> Times:
    start, length = whole[0], (whole[1] - whole[0]) / len(names)
    return {name: (start + place * length, start + (place + 1) * length) for place, name in enumerate(names)}
