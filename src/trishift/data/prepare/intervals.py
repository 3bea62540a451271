"""`trishift prepare intervals`: the annotations of label tools become lists of parts of videos, labels and a report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from trishift.data.annotations.reading import read_annotations
from trishift.data.annotations.records import Annotation, Annotations
from trishift.data.annotations.videos import VideoFolder
from trishift.data.parts import Part
from trishift.data.prepare.discovery import Found, FoundClip
from trishift.data.prepare.options import IntervalOptions, SplitOptions
from trishift.data.prepare.overlaps import SHARE, Overlap, gaps, overlaps
from trishift.data.prepare.own_clips import prepare_clips
from trishift.data.prepare.report import PreparationReport
from trishift.data.sources import FrameSource, open_clip
from trishift.data.video import VideoFile
from trishift.errors import DataError
from trishift.io.threads import map_in_threads
from trishift.io.wording import counted, shown_first

_ASSUMED_FPS = 25.0  # of frame folders, for lengths and margins of background
_SHOWN = 3  # videos in a message


@dataclass
class _Span:
    """An annotation in the frames of its video, with all labels that hold for it."""

    annotation: Annotation
    frames: range
    labels: list[str]


@dataclass
class _Video:
    """A video and its annotations; `problem` is the reason why it cannot be opened."""

    path: Path
    spans: list[_Span] = field(default_factory=list)
    excluded: list[range] = field(default_factory=list)
    unusable: list[tuple[str, Annotation]] = field(default_factory=list)
    cut: int = 0
    seekable: bool = True
    num_frames: int = 0
    fps: float | None = None
    problem: str | None = None

    @property
    def rate(self) -> float:
        return self.fps or _ASSUMED_FPS


def prepare_intervals(
    annotations: Sequence[str | Path],
    output: str | Path,
    *,
    clips: str | Path | None = None,
    intervals: IntervalOptions | None = None,
    **options: Any,
) -> PreparationReport:
    """Check annotated parts of videos and write training and validation lists; see `prepare_folder`.

    All parts of one video are in the same list. The videos are only decoded within the parts.

    Args:
        annotations: files of label tools or public data sets (`data.annotations.FORMATS`), or folders of them.
        output: folder for the lists; created if missing.
        clips: folder with the videos, at any depth; None: the folder of the first annotations.
        intervals: how annotations become clips.
        **options: fields of `SplitOptions`.

    Raises:
        DataError: annotations cannot be read, none of their videos exists, parts overlap and `multi_label` is not set,
            a video is in two splits, or as in `prepare_folder`.
        OutputError: `output` cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from trishift.data.prepare import prepare_intervals
        >>> rows = [f"{clip},0:00,0:00.2,{clip.parent.name}" for clip in sorted(Path("clips").glob("*/*.mp4"))]
        >>> _ = Path("long.csv").write_text("\\n".join(["video,start,end,label", *rows]))
        >>> prepare_intervals(["long.csv"], "lists", val_fraction=0.5).split
        {'clap': [1, 1], 'wave': [1, 1]}
    """
    chosen, settings = intervals or IntervalOptions(), SplitOptions(**options)
    files, output = [Path(each) for each in annotations], Path(output).absolute()
    first = files[0] if files[0].is_dir() else files[0].parent
    directory = (first if clips is None else Path(clips)).absolute()
    read = read_annotations(files, chosen.format, chosen.tiers, chosen.frame_rate)
    if not read.found:
        raise DataError(f"{files[0]}: no annotations that can be used{_why(read)}")
    found = Found(skipped=read.skipped, notes=read.notes)
    videos = _opened(directory, read, found, settings, chosen.frame_rate)
    _report_videos(videos, read, found)
    spans = [span for video in videos for span in video.spans]
    if not spans:
        raise DataError(f"{files[0]}: none of the annotations can be used{_why(read)}")
    splits = _splits(videos, read)
    _combine_labels(videos, found, chosen.multi_label)
    for video in videos:
        clips_of_video = [FoundClip(video.path, tuple(span.labels), splits.get(video.path)) for span in video.spans]
        found.clips += _with_parts(clips_of_video, [span.annotation.part for span in video.spans])
    if chosen.background:
        _add_background(videos, splits, found, chosen)
    return prepare_clips(found, directory, output, settings, PreparationReport("intervals", str(output)))


def _with_parts(clips: Sequence[FoundClip], parts: Sequence[Part]) -> Iterator[FoundClip]:
    for clip, part in zip(clips, parts, strict=True):
        yield FoundClip(Path(f"{clip.path}{part}"), clip.labels, clip.split)


def _why(read: Annotations) -> str:
    """What was skipped, as the end of an error."""
    reasons = [f"{reason}: {len(places)}, first {places[0]}" for reason, places in read.skipped.items()]
    return f" ({'; '.join(reasons)})" if reasons else "; the files hold none"


# Videos


def _opened(
    directory: Path, read: Annotations, found: Found, options: SplitOptions, frame_rate: float | None
) -> list[_Video]:
    """Open the videos of all annotations, and turn the annotations into frames."""
    folder = VideoFolder(directory)
    by_path: defaultdict[Path, tuple[list[Annotation], list[Annotation]]] = defaultdict(lambda: ([], []))
    located = {name: folder.find(name) for name in dict.fromkeys(each.video for each in read.found)}
    missing = [name for name, path in located.items() if path is None]
    if len(missing) == len(located):
        raise DataError(
            f"{directory}: holds none of {counted(len(missing), 'annotated video')}, first {missing[0]!r}; name the "
            "folder of the videos with --clips"
        )
    if missing:
        counts = Counter(each.video for each in read.found)
        found.missing["annotations"] = [f"{name} ({counted(counts[name], 'annotation')})" for name in missing]
    for number, group in enumerate((read.found, read.excluded)):
        for annotation in group:
            path = located.get(annotation.video)
            if path is not None:
                by_path[path][number].append(annotation)
    openings = partial(_open, directory, template=options.template, frame_rate=frame_rate)
    return map_in_threads(openings, sorted(by_path.items()), options.workers, "opening videos")


def _open(
    directory: Path,
    item: tuple[Path, tuple[list[Annotation], list[Annotation]]],
    template: str | None,
    frame_rate: float | None,
) -> _Video:
    path, (usable, excluded) = item
    video = _Video(path)
    try:
        with open_clip(directory / path, template=template) as source:
            video.num_frames, video.fps = source.num_frames, source.fps or frame_rate
            if not source.fps and frame_rate:  # frame folders
                usable, excluded = ([_in_frames(each, frame_rate) for each in group] for group in (usable, excluded))
            video.seekable = not isinstance(source, VideoFile) or source.seekable
            for annotation in usable:
                frames = _frames(annotation.part, source)
                if isinstance(frames, str):
                    video.unusable.append((frames, annotation))
                else:
                    video.cut += annotation.part.end > _end(annotation.part, source, 1)
                    video.spans.append(_Span(annotation, frames, [annotation.label]))
            of_excluded = (_frames(annotation.part, source) for annotation in excluded)
            video.excluded = [frames for frames in of_excluded if isinstance(frames, range)]
    except DataError as error:
        video.problem = str(error)
    return video


def _in_frames(annotation: Annotation, rate: float) -> Annotation:
    part = annotation.part
    return (
        replace(annotation, part=Part(round(part.start * rate), round(part.end * rate))) if part.seconds else annotation
    )


def _frames(part: Part, source: FrameSource) -> range | str:
    """The frames of a part, or why it has none; raises DataError if its unit does not suit the video."""
    if part.seconds and not source.fps:
        raise DataError(f"{source.path}: annotated in seconds, but its frame rate is unknown; give --frame-rate")
    try:
        return part.frames(source.num_frames, source.fps, str(source.path), source.times)
    except DataError:
        outside = part.start >= _end(part, source)
        return "annotations outside their video" if outside else "annotations shorter than a frame"


def _end(part: Part, source: FrameSource, extra: int = 0) -> float:
    """The end of a video, plus some frames, in the unit of a part."""
    if not part.seconds or not source.fps:
        return source.num_frames + extra
    last = (source.num_frames - 1) / source.fps if source.times is None else float(source.times[-1])
    return last + (1 + extra) / source.fps


def _report_videos(videos: Sequence[_Video], read: Annotations, found: Found) -> None:
    for video in videos:
        if video.problem:
            found.skipped["videos that cannot be opened"].append(video.problem)
        for reason, annotation in video.unusable:
            read.place = annotation.place
            read.skip(reason, f" ({annotation.label}{annotation.part} of {counted(video.num_frames, 'frame')})")
    slow = [video.path.as_posix() for video in videos if not video.seekable]
    if slow:
        found.warnings.append(
            f"{counted(len(slow), 'video')} cannot be read from the middle, so that each part decodes the whole file; "
            f"re-encode before training: {shown_first(slow, _SHOWN)}"
        )
    cut = [video for video in videos if video.cut]
    if cut:
        names = shown_first([video.path.as_posix() for video in cut], _SHOWN)
        number = counted(sum(video.cut for video in cut), "annotation ends", "annotations end")
        found.warnings.append(f"{number} after the video and counts up to its end: {names}")


def _splits(videos: Sequence[_Video], read: Annotations) -> dict[Path, str]:
    """Video to its ready split; annotations without one are skipped if others have it."""
    splits: dict[Path, Annotation] = {}
    for video in videos:
        for annotation in (span.annotation for span in video.spans):
            if annotation.split is None:
                continue
            first = splits.setdefault(video.path, annotation)
            if first.split != annotation.split:
                raise DataError(
                    f"{annotation.place}: {video.path} is in {annotation.split}, but in {first.split} in "
                    f"{first.place}; all parts of a video belong to one split"
                )
    for video in videos if splits else ():
        if video.path not in splits:
            for span in video.spans:
                read.place = span.annotation.place
                read.skip("annotations of videos without a split")
            video.spans.clear()
    return {path: annotation.split for path, annotation in splits.items() if annotation.split}


# Labels


def _combine_labels(videos: Sequence[_Video], found: Found, multi_label: bool) -> None:
    """Give spans the labels of others that cover at least half of them; one span per part of a video.

    Raises:
        DataError: there are such spans, and `multi_label` is not set.
    """
    doubles: list[tuple[_Span, _Span]] = []
    slight = 0
    for video in videos:
        spans = video.spans
        for overlap in overlaps([span.frames for span in spans], [span.labels[0] for span in spans]):
            if overlap.is_double:
                doubles.append((spans[overlap.first], spans[overlap.second]))
                _share_labels(spans, overlap)
            slight += not overlap.is_double
    if doubles and not multi_label:
        first, second = (span.annotation for span in doubles[0])
        more = f", and so do {counted(len(doubles) - 1, 'more pair')}" if len(doubles) > 1 else ""
        raise DataError(
            f"{second.place}: {second.label!r} overlaps {first.label!r} of {first.place} by half or more{more}; "
            "--multi-label gives clips several labels, --tier selects one layer of labels"
        )
    for video in videos:
        merged: dict[range, _Span] = {}
        for span in video.spans:
            same = merged.setdefault(span.frames, span)
            same.labels = list(dict.fromkeys((*same.labels, *span.labels)))
        video.spans = sorted(merged.values(), key=lambda span: (span.frames.start, span.frames.stop))
    if slight:
        number = counted(slight, "pair of annotations overlaps", "pairs of annotations overlap")
        found.notes.append(f"{number} by less than {SHARE:.0%} of either; each part keeps its own label")


def _share_labels(spans: Sequence[_Span], overlap: Overlap) -> None:
    first, second = spans[overlap.first], spans[overlap.second]
    own = first.labels[0], second.labels[0]
    if overlap.first_share >= SHARE:
        first.labels.append(own[1])
    if overlap.second_share >= SHARE:
        second.labels.append(own[0])


def _add_background(
    videos: Sequence[_Video], splits: Mapping[Path, str], found: Found, chosen: IntervalOptions
) -> None:
    """Add what lies between the annotations of each video as clips of one more class."""
    longest = chosen.max_length or median(len(span.frames) / video.rate for video in videos for span in video.spans)
    shortest = min(chosen.min_length, longest)
    count = 0
    for video in videos:
        if not video.spans:  # nobody may have looked at it
            continue
        frames = [round(seconds * video.rate) for seconds in (chosen.margin, shortest, longest)]
        covered = [*(span.frames for span in video.spans), *video.excluded]
        for gap in gaps(covered, video.num_frames, frames[0], frames[1], max(1, frames[2])):
            path = Path(f"{video.path}{Part(gap.start, gap.stop)}")
            found.clips.append(FoundClip(path, (str(chosen.background),), splits.get(video.path), is_background=True))
            count += 1
    rates = "" if all(video.fps for video in videos) else f"; frame folders count as {_ASSUMED_FPS:g} fps"
    found.notes.append(
        f"background: {counted(count, 'part')} of {shortest:.3g} to {longest:.3g} s as class {chosen.background!r}, "
        f"{chosen.margin:g} s away from annotations{rates}"
    )
