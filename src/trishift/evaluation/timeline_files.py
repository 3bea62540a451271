"""Timelines from files: predictions of `trishift timeline` and others, and the truth from lists or annotations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.reading import read_annotations
from trishift.data.annotations.tables import recognizes_table
from trishift.data.annotations.videos import VideoFolder, VideoNames, plain_path
from trishift.data.lists import read_labels, read_list
from trishift.data.lists.text import stream_lines
from trishift.data.parts import Part, split_part
from trishift.data.sources import FrameSource, open_clip
from trishift.errors import DataError, brief
from trishift.evaluation.timelines import Span, VideoSpans
from trishift.io.wording import counted, shown_first

_SUFFIXES = (".json", ".csv", ".tsv")
_EVENTS = ("events", "segments", "annotations")  # keys of a video's spans in JSON
_SHOWN = 3


@dataclass
class TimelineFiles:
    """Timelines by video, and what to tell about reading them.

    Attributes:
        videos: the spans of each video.
        notes: what was skipped or assumed.
    """

    videos: dict[str, VideoSpans] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, video: str) -> VideoSpans:
        """The spans of a video; made if it is new."""
        return self.videos.setdefault(video, VideoSpans())


# Predictions


def read_predictions(paths: Sequence[Path]) -> TimelineFiles:
    """Read predicted timelines.

    Args:
        paths: files, or folders of them: the JSON and CSV files of `trishift timeline`, objects
            `{"video": ..., "events": [{"start", "end", "label", "probability"}]}` or lists of them, tables with the
            columns `video, start, end, label, probability`, and results in ActivityNet's form.

    Raises:
        DataError: a file cannot be read or has another form, or two files have timelines of one video.
    """
    found = TimelineFiles()
    for file in (file for path in paths for file in _prediction_files(path)):
        one = TimelineFiles()
        _read_prediction(AnnotationFile(file), one)
        twice = sorted(found.videos.keys() & one.videos)
        if twice:
            raise DataError(f"{file}: {twice[0]} has a timeline in another file, too; give one per video")
        found.videos |= one.videos
        found.notes += one.notes
    return found


def _prediction_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    if not files:
        raise DataError(f"{path}: holds no timelines, which end in {', '.join(_SUFFIXES)}; write them there")
    return files


def _read_prediction(file: AnnotationFile, into: TimelineFiles) -> None:
    if file.path.suffix == ".jsonl":
        raise DataError(f"{file.path}: holds windows, not events; write the timeline as .json or .csv")
    place = str(file.path)
    try:
        if file.json is None:
            _read_table(file, into)
        elif isinstance(file.json, dict) and isinstance(file.json.get("results"), dict):
            for video, events in file.json["results"].items():
                place = f"{file.path}: {video}"
                into.of(video).spans += [_span(each, *each["segment"]) for each in events]
        else:
            for video in file.json if isinstance(file.json, list) else [file.json]:
                place = f"{file.path}: {video['video']}"
                events = next(video[key] for key in _EVENTS if key in video)
                entry = into.of(str(video["video"]))
                entry.spans += [_span(each, each["start"], each["end"]) for each in events]
                duration = float(video.get("duration") or 0)
                entry.duration = duration if 0 < duration < math.inf else None
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
        raise DataError(
            f"{place}: is no timeline ({type(error).__name__} {brief(error, 80)}); give what `trishift timeline` writes"
        ) from None
    for name, entry in into.videos.items():
        for span in entry.spans:
            if not (0 <= span.start < span.end < math.inf and math.isfinite(span.score)):
                event = f"{span.label} from {span.start:g} to {span.end:g}, {span.score:g}"
                raise DataError(f"{file.path}: {name}: {event}; it must have a probability and end after it starts")


def _read_table(file: AnnotationFile, into: TimelineFiles) -> None:
    if not recognizes_table(file):
        raise DataError(f"{file.path}: needs the columns video, start, end and label")
    header = {name.strip().lower() for name in file.header}
    column = next((name for name in ("probability", "score", "confidence") if name in header), None)
    if column is None:
        into.notes.append(f"{file.path}: has no probabilities, so the mAP takes events in the order of the file")
    for _, row in file.rows():
        row = {name.lower(): cell for name, cell in row.items()}
        score = float(row[column]) if column else 1.0
        into.of(row["video"]).spans.append(Span(float(row["start"]), float(row["end"]), row["label"], score))


def _span(entry: Mapping[str, Any], start: float, end: float) -> Span:
    score = next((entry[key] for key in ("probability", "score") if key in entry), 1.0)
    return Span(float(start), float(end), str(entry["label"]), float(score))


# The truth


def read_truth(
    path: Path,
    *,
    clips: Path | None = None,
    labels: Path | None = None,
    tiers: Sequence[str] = (),
    frame_rate: float | None = None,
    split: str | None = None,
) -> TimelineFiles:
    """Read true timelines.

    Args:
        path: a list of parts of videos (`a.mp4#t=1,2.5`), or annotations as `prepare intervals` takes them.
        clips: folder of the videos, for lengths and for annotations in frames; None: the folder of `path`.
        labels: label file of a list; None: `labels.txt` beside it.
        tiers: layers of labels, see `read_annotations`.
        frame_rate: likewise.
        split: `train`, `val` or `test`: only the annotations of these videos.

    Raises:
        DataError: the file cannot be read or has no usable annotation, or a video is needed and cannot be opened.
    """
    found = TimelineFiles()
    folder = clips or (path if path.is_dir() else path.parent)
    if not path.is_dir() and any("#t=" in line.text or "#frames=" in line.text for line in stream_lines(path)):
        parts = _listed_parts(path, clips, labels)
        durations: Mapping[str, float] = {}
    else:
        annotations = read_annotations([path], tiers=tiers, frame_rate=frame_rate)
        chosen = [each for each in annotations.found if split in (None, each.split)]
        parts = [(each.video, each.part, each.label) for each in chosen]
        durations = annotations.durations
        found.notes += annotations.notes
        found.notes += [f"{reason}: {len(places)}, first {places[0]}" for reason, places in annotations.skipped.items()]
    if not parts:
        raise DataError(f"{path}: holds no annotations{f' of {split}' if split else ''} to compare with")
    _add_parts(parts, durations, VideoFolder(folder), folder, found)
    return found


def _listed_parts(path: Path, clips: Path | None, labels: Path | None) -> list[tuple[str, Part, str]]:
    """Video, part and class name of each label in a list."""
    file = path.parent / "labels.txt" if labels is None else labels
    if not file.is_file():
        raise DataError(f"{file}: no such label file; name the one of {path.name} with --labels")
    names = read_labels(file)
    parts, records = [], read_list(path, clips, class_names=names)
    for name, record in zip(records.names, records, strict=True):
        part = split_part(record.path)[1]
        if part is None:
            raise DataError(f"{path}:{record.line}: {name} is no part of a video; list parts, such as a.mp4#t=1,2.5")
        parts += [(name.rpartition("#")[0], part, names[label]) for label in record.labels]
    return parts


def _add_parts(
    parts: Iterable[tuple[str, Part, str]],
    durations: Mapping[str, float],
    videos: VideoFolder,
    folder: Path,
    into: TimelineFiles,
) -> None:
    by_video: dict[str, list[tuple[Part, str]]] = {}
    for video, part, label in parts:
        by_video.setdefault(video, []).append((part, label))
    unknown = []
    for video, labeled in by_video.items():
        entry = into.of(video)
        entry.duration = durations.get(video)
        in_frames = any(not part.seconds for part, _ in labeled)
        path = videos.find(video)
        if path is None and in_frames:
            raise DataError(f"{video}: annotated in frames, but not in {folder}; name the videos' folder with --clips")
        if path is None or (entry.duration and not in_frames):
            entry.spans += [Span(part.start, part.end, label) for part, label in labeled]
            unknown += [] if entry.duration else [video]
            continue
        with open_clip(folder / path) as source:
            entry.duration = _seconds(source, source.num_frames)
            entry.spans += [Span(*_bounds(source, part), label) for part, label in labeled]
    if unknown:
        count = counted(len(unknown), "video is", "videos are")
        names = shown_first(unknown, _SHOWN)
        into.notes.append(f"{count} not in {folder}, so time after the last event does not count: {names}")


def _bounds(source: FrameSource, part: Part) -> tuple[float, float]:
    """Start and end of a part in seconds."""
    return (part.start, part.end) if part.seconds else (_seconds(source, part.start), _seconds(source, part.end))


def _seconds(source: FrameSource, frame: float) -> float:
    """The time of a frame; after the last one, the end of the video."""
    if not source.fps:
        raise DataError(f"{source.path}: its frame rate is unknown; give the truth in seconds")
    if source.times is None or frame < 0:
        return frame / source.fps
    if frame >= source.num_frames:
        return float(source.times[-1]) + 1 / source.fps
    return float(source.times[int(frame)])


# Both


def matched(predicted: TimelineFiles, true: TimelineFiles, *, partial: bool = False) -> dict[str, VideoSpans]:
    """The predictions under the names of the truth's videos. Differences are added to the notes of `predicted`.

    Args:
        predicted: timelines under names that may be other paths of the same videos.
        true: timelines; with `partial`, those without predictions are removed.
        partial: leave videos without predictions out instead of counting them as empty.

    Raises:
        DataError: no video is in both.
    """
    names = {plain_path(name): name for name in true.videos}
    videos = VideoNames(names, "the truth")
    found: dict[str, VideoSpans] = {}
    strangers = []
    for name, entry in predicted.videos.items():
        path = PurePosixPath(plain_path(name))
        close = path if path in names else videos.find(name)
        if close is None:
            strangers.append(name)
        elif names[close] in found:
            raise DataError(f"{name}: has two predicted timelines for {names[close]}; give one")
        else:
            found[names[close]] = entry
    if not found:
        raise DataError(
            f"none of {counted(len(strangers), 'predicted video')} is in the truth (first "
            f"{next(iter(strangers), '-')}, the truth has {next(iter(true.videos))}); give the annotations of the "
            "same videos"
        )
    missing = [name for name in true.videos if name not in found]
    for name in missing if partial else ():
        del true.videos[name]
    for videos_without, what in (
        (strangers, "predicted, but not in the truth; left out"),
        (missing, f"without predictions; {'left out' if partial else 'count as empty (--partial leaves them out)'}"),
    ):
        if videos_without:
            count = counted(len(videos_without), "video")
            predicted.notes.append(f"{count} {what}: {shown_first(videos_without, _SHOWN)}")
    _compare_labels(found, true, predicted.notes)
    return found


def _compare_labels(found: Mapping[str, VideoSpans], true: TimelineFiles, notes: list[str]) -> None:
    known = {span.label for entry in true.videos.values() for span in entry.spans}
    others = Counter(s.label for entry in found.values() for s in entry.spans if s.label not in known)
    if others:
        listed = shown_first([f"{label} ({count})" for label, count in others.items()], _SHOWN)
        notes.append(
            f"predicted classes that the truth does not have, all wrong unless named by --background: {listed}"
        )
