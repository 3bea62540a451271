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
    waiting = [group for tier in root.iterfind("TIER") for group in _divided(tier).items()]
    for _ in range(_DEEPEST):
        ready = [(times[parent], children) for parent, children in waiting if parent in times]
        waiting = [group for group in waiting if group[0] not in times]
        if not ready:
            break
        for whole, children in ready:
            times |= _shares(whole, children)
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
    previous_of: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    for annotation in tier.iterfind("ANNOTATION/REF_ANNOTATION"):
        siblings = previous_of[annotation.attrib["ANNOTATION_REF"]]
        siblings[annotation.attrib["ANNOTATION_ID"]] = annotation.get("PREVIOUS_ANNOTATION")
    return {parent: _chained(siblings) for parent, siblings in previous_of.items()}


def _chained(previous_of: dict[str, str | None]) -> list[str]:
    """Names in order, each after its previous one; chains in the order of their beginnings."""
    next_of = {previous: name for name, previous in previous_of.items()}
    order: dict[str, None] = {}
    for name, previous in previous_of.items():
        following: str | None = name if previous not in previous_of else None
        while following is not None and following not in order:
            order[following] = None
            following = next_of.get(following)
    return [*order, *(name for name in previous_of if name not in order)]


def _shares(whole: tuple[float, float], names: list[str]) -> Times:
    start, length = whole[0], (whole[1] - whole[0]) / len(names)
    return {name: (start + place * length, start + (place + 1) * length) for place, name in enumerate(names)}
