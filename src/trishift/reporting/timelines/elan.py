"""Timelines as ELAN annotations: EAF 3.0, https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree as ET

from trishift.reporting.timelines.content import TimelineContent
from trishift.streaming.events import Event

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TYPE = "events"


def eaf_text(content: TimelineContent, folder: Path) -> str:
    """A document with one tier, or one tier per class if events may overlap.

    Args:
        content: the timeline.
        folder: of the file, for the relative path of the video.
    """
    ET.register_namespace("xsi", _INSTANCE)
    root = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "Trishift",
            "DATE": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_INSTANCE}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ET.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if content.file is not None and content.file.is_file():
        ET.SubElement(header, "MEDIA_DESCRIPTOR", _media(content.file, folder))
    ET.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"}).text = str(len(content.events))
    slots = ET.SubElement(root, "TIME_ORDER")
    for place, time in enumerate(_times(content.events), 1):
        ET.SubElement(slots, "TIME_SLOT", {"TIME_SLOT_ID": f"ts{place}", "TIME_VALUE": str(time)})
    numbered = list(enumerate(content.events, 1))
    if content.several_labels:
        for label in content.used_labels():
            events = [entry for entry in numbered if entry[1].label == label]
            _add_tier(root, content, content.labels[label], events)
    if not content.several_labels or not numbered:
        _add_tier(root, content, _TYPE, numbered)
    ET.SubElement(
        root,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": _TYPE, "TIME_ALIGNABLE": "true"},
    )
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _add_tier(root: ET.Element, content: TimelineContent, name: str, events: Sequence[tuple[int, Event]]) -> None:
    tier = ET.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": _TYPE, "TIER_ID": _clean(name)})
    places = {time: place for place, time in enumerate(_times(content.events), 1)}
    for number, event in events:
        annotation = ET.SubElement(
            ET.SubElement(tier, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            {
                "ANNOTATION_ID": f"a{number}",
                "TIME_SLOT_REF1": f"ts{places[round(event.start * 1000)]}",
                "TIME_SLOT_REF2": f"ts{places[round(event.end * 1000)]}",
            },
        )
        ET.SubElement(annotation, "ANNOTATION_VALUE").text = _clean(content.labels[event.label])


def _times(events: Sequence[Event]) -> list[int]:
    """The milliseconds at which events begin or end, in order."""
    return sorted({round(time * 1000) for event in events for time in (event.start, event.end)})


def _media(file: Path, folder: Path) -> dict[str, str]:
    kind = mimetypes.guess_type(file.name)[0] or "video/mp4"
    relative = _clean(os.path.relpath(file.resolve(), folder.resolve()))
    return {"MEDIA_URL": file.resolve().as_uri(), "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": f"./{relative}"}


def _clean(text: str) -> str:
    """Text without the characters that XML 1.0 forbids."""
    return _NOT_IN_XML.sub("�", text)
