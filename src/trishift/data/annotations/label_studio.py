"""Label Studio: JSON, JSON_MIN and CSV exports of video timelines, audio regions and tracked boxes.

Frames of timelines and boxes count from 1, and a range includes its end. Audio regions are in seconds. The control tag
(`from_name`) is the tier. https://labelstud.io/guide/export
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.records import Annotations
from trishift.data.frames import VIDEO_SUFFIXES
from trishift.errors import DataError

_FLAT = frozenset({"annotation_id", "annotator", "lead_time", "annotations", "completions"})
_OTHER_KINDS = "Label Studio results without times, such as choices and boxes"


def recognizes(file: AnnotationFile) -> bool:
    """Whether a file is an export of tasks."""
    if file.header:
        return {"annotation_id", "lead_time"} <= {name.strip() for name in file.header}
    data = file.json
    return isinstance(data, list) and any(isinstance(task, dict) and _FLAT & task.keys() for task in data)


def read(file: AnnotationFile, into: Annotations) -> None:
    """Add the timed labels of all tasks; of several annotations of a task, the latest."""
    if file.header:
        for line, row in file.rows():
            into.place = f"{file.path}:{line}"
            _read_flat({name: _parsed(cell) for name, cell in row.items()}, into)
        return
    for number, task in enumerate(file.json, 1):
        into.place = place = f"{file.path}: task {task.get('id', number)}"
        if "completions" in task:
            raise DataError(
                f"{into.place}: 'completions' are of Label Studio before 1.0; export it with a version from 1.0 on"
            )
        if "annotations" not in task:
            _read_flat(task, into)
            continue
        done = [each for each in task["annotations"] if not each.get("was_cancelled")]
        done.sort(key=lambda each: str(each.get("updated_at", "")))
        if not done:
            into.skip("Label Studio tasks without annotations")
        for _ in done[:-1]:
            into.skip("Label Studio annotations of tasks with a later one")
        for result in done[-1]["result"] if done else ():
            into.place = f"{place}, result {result.get('id', '?')}"
            _add(result["value"], _video(task["data"], result.get("to_name")), result.get("from_name", ""), into)


def _parsed(cell: str) -> Any:
    """A cell of a CSV export: JSON for regions, else text."""
    if not cell.startswith("["):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _read_flat(task: Mapping[str, Any], into: Annotations) -> None:
    """A task of JSON_MIN or CSV: data and results under one roof, the latter by the names of their tags."""
    place, video = into.place, _video(task, None)
    regions = [(name, value) for name, value in task.items() if isinstance(value, list)]
    if not any(values for _, values in regions):
        into.skip("Label Studio tasks without annotations")
    for name, values in regions:
        for number, value in enumerate(values, 1):
            into.place = f"{place}, {name} {number}"
            if isinstance(value, dict):
                _add(value, video, name, into)
            else:
                into.skip(_OTHER_KINDS)


def _video(data: Mapping[str, Any], tag: str | None) -> str:
    """The address of the video: under the name of its tag, a usual name, or the one that looks like a file."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    for key in (tag, "video", "video_url", "url", "audio"):
        if key in texts:
            return texts[key]
    files = (text for text in texts.values() if text.lower().endswith(tuple(VIDEO_SUFFIXES)))
    return next(files, "")


def _add(value: Mapping[str, Any], video: str, tier: str, into: Annotations) -> None:
    labels = value.get("timelinelabels") or value.get("labels") or []
    spans: list[tuple[float, float]] | None = None
    seconds = False
    if "ranges" in value:
        spans = [(each["start"] - 1, each["end"]) for each in value["ranges"]]
    elif "sequence" in value:
        spans = list(_visible(value["sequence"], value.get("framesCount")))
    elif {"start", "end"} <= value.keys() and "text" not in value:
        spans, seconds = [(value["start"], value["end"])], True
    if spans is None:
        into.skip(_OTHER_KINDS)
        return
    for span in spans:
        for label in labels or [""]:
            into.add(video, span, label, seconds=seconds, tier=tier)


def _visible(sequence: list[Mapping[str, Any]], num_frames: int | None) -> Iterator[tuple[int, int]]:
    """The frames, from 0, in which a tracked box is on; at its last key frame, it stays on to the end."""
    start = None
    frames = sorted(sequence, key=lambda each: each["frame"])
    for key in frames:
        if key.get("enabled", True) and start is None:
            start = key["frame"] - 1
        elif not key.get("enabled", True) and start is not None:
            yield start, key["frame"]
            start = None
    if start is not None:
        yield start, num_frames or frames[-1]["frame"]
