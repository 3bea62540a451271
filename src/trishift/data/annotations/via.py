"""VGG Image Annotator 3 (the video annotator): projects in JSON, and its CSV export.

Times are in seconds. The attributes of a temporal segment are the tiers. https://www.robots.ox.ac.uk/~vgg/software/via/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.records import Annotations
from trishift.data.lists.text import csv_rows
from trishift.errors import DataError, brief

_PROJECT = frozenset({"attribute", "file", "metadata", "view"})
_OLDER = frozenset({"_via_img_metadata", "_via_settings"})
_SEVERAL = 2  # attribute type: checkboxes
_DEFAULT = "_DEFAULT"
_HEADER = re.compile(r"# *CSV_HEADER *= *(.*)")
_ATTRIBUTES = re.compile(r"# *ATTRIBUTES? *= *(\{.*\}),*")


def recognizes(file: AnnotationFile) -> bool:
    """Whether a file is a project or an export of VIA."""
    if isinstance(file.json, dict):
        return file.json.keys() >= _PROJECT or not _OLDER.isdisjoint(file.json)
    return file.text.startswith("#") and _HEADER.search(file.text) is not None


def read(file: AnnotationFile, into: Annotations) -> None:
    """Add the temporal segments, once per attribute that they have."""
    if not isinstance(file.json, dict):
        _read_csv(file, into)
        return
    data = file.json
    if not _OLDER.isdisjoint(data):
        raise DataError(f"{file.path}: a project of VIA 2, which annotates pictures; use VIA 3, the video annotator")
    for name, entry in data["metadata"].items():
        into.place = f"{file.path}: metadata {name}"
        files = [data["file"][str(fid)] for fid in data["view"][str(entry["vid"])]["fid_list"]]
        video = str(files[0].get("fname") or files[0].get("src") or "") if files else ""
        _add(video, entry["z"], entry["av"], data["attribute"], into)


def _read_csv(file: AnnotationFile, into: Annotations) -> None:
    header = _HEADER.search(file.text)
    if header is None:
        raise DataError(f"{file.path}: has no line '# CSV_HEADER = ...'; export the CSV again from VIA 3")
    names = [name.strip() for name in header[1].split(",") if name.strip()]
    found = _ATTRIBUTES.search(file.text)
    attributes = json.loads(found[1]) if found else {}
    for line, cells in csv_rows(file.path, [line for line in file.lines if line.text]):
        into.place = f"{file.path}:{line.number}"
        row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
        if len(cells) < len(names):
            raise DataError(f"{into.place}: {len(cells)} columns instead of {len(names)}; export the CSV again")
        if "temporal_coordinates" in row:
            times = _json(row["temporal_coordinates"], into.place)
        else:
            times = [float(row["temporal_segment_start"]), float(row["temporal_segment_end"])]
        files = _json(row["file_list"], into.place)
        _add(str(files[0]) if files else "", times, _json(row["metadata"], into.place), attributes, into)


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{place}: {text[:40]!r} is not JSON ({brief(error, 80)}); export the CSV again") from None


def _add(
    video: str, times: Sequence[float], values: Mapping[str, str], attributes: Mapping[str, Any], into: Annotations
) -> None:
    if len(times) != 2:
        into.skip("VIA annotations of single frames or whole files")
        return
    if not values:
        into.skip("annotations without a label")
    for key, value in values.items():
        attribute = attributes.get(key, key)
        is_plain = not isinstance(attribute, dict)  # older exports name the attributes only
        tier = str(attribute) if is_plain else attribute["aname"]
        for label in [value] if is_plain else _labels(attribute, value, into):
            into.add(video, (times[0], times[1]), label, tier=tier)


def _labels(attribute: Mapping[str, Any], value: str, into: Annotations) -> Iterator[str]:
    """The texts of an attribute's options, or the text that was typed."""
    options: Mapping[str, str] = attribute.get("options") or {}
    if attribute.get("type", 1) == 1:  # free text
        yield "" if value == _DEFAULT else value
        return
    keys = value.split(",") if attribute["type"] == _SEVERAL else [value]
    for key in keys:
        chosen = attribute.get("default_option_id", "") if key == _DEFAULT else key
        if chosen and chosen not in options:
            into.skip("options that the VIA attribute does not have", f" ({chosen})")
        else:
            yield options.get(chosen, "")
