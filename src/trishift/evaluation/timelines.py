"""Metrics of timelines: what happens when, against the truth.

* Segmental F1 at some overlap, and the edit score: Lea et al., "Temporal Convolutional Networks for Action Segmentation
  and Detection", 2017. Both ignore background, and F1 counts over all videos as in MS-TCN (Farha and Gall, 2019).
* Mean average precision over temporal IoU: the evaluation of ActivityNet, with VOC's interpolated precision.
* Frame accuracy, over time instead of frames, so that it needs no frame rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trishift.io.wording import counted

OVERLAPS = (0.1, 0.25, 0.5)
ACTIVITYNET = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
THUMOS = (0.3, 0.4, 0.5, 0.6, 0.7)
_SAME = 1e-6  # seconds; times closer than this are equal
_ROUNDING = 1e-9  # of IoUs


@dataclass(frozen=True, slots=True)
class Span:
    """A time with a label.

    Attributes:
        start, end: seconds.
        label: class name.
        score: confidence of a prediction; higher ones are matched first.
    """

    start: float
    end: float
    label: str
    score: float = 1.0


@dataclass
class VideoSpans:
    """The spans of a video: predicted or true.

    Attributes:
        spans: in any order; they may overlap.
        duration: seconds; None if unknown.
    """

    spans: list[Span] = field(default_factory=list)
    duration: float | None = None


@dataclass(frozen=True)
class TimelineMetrics:
    """Metrics in [0, 1] of all videos.

    Attributes:
        videos, true_spans, predicted_spans: their numbers, without background.
        f1: overlap to F1 of the spans of all videos together (MS-TCN).
        f1_per_video: overlap to the mean of each video's F1 (Lea et al.).
        edit: mean of each video's edit score.
        frame_accuracy: share of the time whose labels are exactly the true ones, of all videos together.
        average_precision: temporal IoU to the class's average precision, for all classes of the truth.
    """

    videos: int
    true_spans: int
    predicted_spans: int
    f1: dict[float, float]
    f1_per_video: dict[float, float]
    edit: float
    frame_accuracy: float
    average_precision: dict[float, dict[str, float]]

    def mean_average_precision(self, thresholds: Sequence[float]) -> float:
        """Mean over the classes and some of the temporal IoUs."""
        return float(np.mean([list(self.average_precision[each].values()) for each in thresholds]))

    def summary(self) -> dict[str, Any]:
        """All figures, for a JSON file."""
        means = {"map_activitynet": ACTIVITYNET, "map_thumos": THUMOS}
        return {**asdict(self), **{name: self.mean_average_precision(each) for name, each in means.items()}}

    def __str__(self) -> str:
        f1 = ", ".join(f"F1@{overlap * 100:g} {value:.2%}" for overlap, value in self.f1.items())
        activitynet, thumos = (self.mean_average_precision(each) for each in (ACTIVITYNET, THUMOS))
        found = f"{counted(self.predicted_spans, 'event')} for {self.true_spans} in {counted(self.videos, 'video')}"
        return (
            f"{f1}, edit {self.edit:.2%}, frame accuracy {self.frame_accuracy:.2%}\n"
            f"mAP {activitynet:.2%} over IoU 0.5:0.05:0.95, {thumos:.2%} over 0.3:0.1:0.7  ({found})"
        )


def timeline_metrics(
    predicted: Mapping[str, VideoSpans], true: Mapping[str, VideoSpans], background: Iterable[str] = ()
) -> TimelineMetrics:
    """Compare the spans of the same videos.

    Args:
        predicted: the spans found in each video; videos without any count as empty.
        true: those of its truth, with at least one span that is not background.
        background: labels that stand for "nothing", as times without a label do.

    Example:
        >>> from trishift.evaluation.timelines import Span, VideoSpans, timeline_metrics
        >>> true = VideoSpans([Span(0, 4, "wave"), Span(6, 8, "clap")], duration=10)
        >>> found = VideoSpans([Span(0, 3, "wave"), Span(6, 8, "wave")])
        >>> metrics = timeline_metrics({"a.mp4": found}, {"a.mp4": true})
        >>> metrics.f1[0.5], metrics.edit, metrics.frame_accuracy  # right: 0 to 3, 4 to 6, 8 to 10
        (0.5, 0.5, 0.7)
    """
    nothing = frozenset(background)
    pairs = [(_without(predicted.get(name, VideoSpans()), nothing), _without(true[name], nothing)) for name in true]
    ordered = [(in_order(found.spans), in_order(truth.spans)) for found, truth in pairs]
    counts = {each: np.array([overlap_counts(*pair, each) for pair in ordered]) for each in OVERLAPS}
    matched = sum(accurate_time(found, truth) for found, truth in pairs)
    total = sum(_duration(found, truth) for found, truth in pairs)
    spans = [[video.spans for video in side] for side in zip(*pairs, strict=True)]
    thresholds = sorted({*ACTIVITYNET, *THUMOS})
    labels = sorted({span.label for of_video in spans[1] for span in of_video})
    precisions = {label: average_precision(_of(label, spans[0]), _of(label, spans[1]), thresholds) for label in labels}
    return TimelineMetrics(
        videos=len(pairs),
        true_spans=sum(map(len, spans[1])),
        predicted_spans=sum(map(len, spans[0])),
        f1={each: f1_score(*map(int, rows.sum(axis=0))) for each, rows in counts.items()},
        f1_per_video={each: float(np.mean([f1_score(*row) for row in rows])) for each, rows in counts.items()},
        edit=float(
            np.mean([edit_score([s.label for s in found], [s.label for s in truth]) for found, truth in ordered])
        ),
        frame_accuracy=matched / total if total else 1.0,
        average_precision={
            each: {label: float(precisions[label][place]) for label in labels} for place, each in enumerate(thresholds)
        },
    )


def _without(video: VideoSpans, labels: frozenset[str]) -> VideoSpans:
    return VideoSpans([span for span in video.spans if span.label not in labels], video.duration)


def _of(label: str, videos: Iterable[Sequence[Span]]) -> list[list[Span]]:
    return [[span for span in spans if span.label == label] for spans in videos]


def in_order(spans: Iterable[Span]) -> list[Span]:
    """Spans by time; those of one label that touch are one, as in labels per frame."""
    joined: list[Span] = []
    last: dict[str, int] = {}
    for span in sorted(spans, key=lambda each: (each.start, each.end, each.label)):
        place = last.get(span.label)
        if place is not None and span.start <= joined[place].end + _SAME:
            before = joined[place]
            joined[place] = Span(before.start, max(before.end, span.end), span.label, max(before.score, span.score))
        else:
            last[span.label] = len(joined)
            joined.append(span)
    return joined


def overlap_counts(predicted: Sequence[Span], true: Sequence[Span], overlap: float) -> tuple[int, int, int]:
    """Number of true positives, false positives and misses of a video.

    In order of time, each prediction takes the true span of its label with the highest IoU. It is right if the IoU
    reaches `overlap` and no prediction has taken that span before.
    """
    used: set[int] = set()
    for span in predicted:
        best, place = max(
            ((_iou(span, each), -n) for n, each in enumerate(true) if each.label == span.label), default=(0, 0)
        )
        if best >= overlap - _ROUNDING and best > 0:
            used.add(-place)
    return len(used), len(predicted) - len(used), len(true) - len(used)


def f1_score(right: int, wrong: int, missed: int) -> float:
    """Harmonic mean of precision and recall; 1 if there is nothing to find and nothing was found."""
    return 2 * right / (2 * right + wrong + missed) if right + wrong + missed else 1.0


def edit_score(predicted: Sequence[str], true: Sequence[str]) -> float:
    """1 minus the Levenshtein distance of two sequences of labels over the longer one's length."""
    if not predicted and not true:
        return 1.0
    row = list(range(len(true) + 1))
    for number, label in enumerate(predicted, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(true, 1):
            changed = min(row[place] + 1, row[place - 1] + 1, diagonal + (label != other))
            diagonal, row[place] = row[place], changed
    return 1 - row[-1] / max(len(predicted), len(true))


def accurate_time(predicted: VideoSpans, true: VideoSpans) -> float:
    """Seconds of a video in which the predicted labels, one, several or none, are exactly the true ones."""
    end = _duration(predicted, true)
    changes = sorted(
        (min(time, end), side, step, span.label)
        for side, video in enumerate((predicted, true))
        for span in video.spans
        for time, step in ((span.start, 1), (span.end, -1))
    )
    active: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    total = before = 0.0
    for time, side, step, label in changes:
        total += (time - before) * (active[0].keys() == active[1].keys())
        active[side][label] += step
        if not active[side][label]:
            del active[side][label]
        before = time
    return total + end - before


def _duration(predicted: VideoSpans, true: VideoSpans) -> float:
    known = true.duration or predicted.duration
    return known or max((span.end for line in (predicted, true) for span in line.spans), default=0.0)


def _iou(one: Span, other: Span) -> float:
    shared = min(one.end, other.end) - max(one.start, other.start)
    return max(0.0, shared) / (max(one.end, other.end) - min(one.start, other.start))


def average_precision(
    predicted: Sequence[Sequence[Span]], true: Sequence[Sequence[Span]], thresholds: Sequence[float]
) -> np.ndarray:
    """Average precision of one class at some temporal IoUs.

    From the highest score on, each prediction takes the free true span of its video with the highest IoU. It is right
    if the IoU reaches the threshold.

    Args:
        predicted: the class's spans of each video.
        true: likewise; at least one.
        thresholds: temporal IoUs.

    Returns:
        (len(thresholds),) float64.
    """
    order = sorted(
        ((span, video) for video, spans in enumerate(predicted) for span in spans), key=lambda p: -p[0].score
    )
    right = np.zeros((len(thresholds), len(order)))
    used: list[set[tuple[int, int]]] = [set() for _ in thresholds]
    for rank, (span, video) in enumerate(order):
        overlaps = sorted(((_iou(span, each), place) for place, each in enumerate(true[video])), reverse=True)
        for number, threshold in enumerate(thresholds):
            free = ((iou, place) for iou, place in overlaps if (video, place) not in used[number])
            iou, place = next(free, (0.0, -1))
            if place >= 0 and iou >= threshold - _ROUNDING:
                used[number].add((video, place))
                right[number, rank] = 1
    recall = right.cumsum(axis=1) / sum(map(len, true))
    precision = right.cumsum(axis=1) / np.arange(1, len(order) + 1)
    return np.array([_area(*pair) for pair in zip(recall, precision, strict=True)])


def _area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the curve of the highest precision at each recall or a higher one (VOC from 2010 on)."""
    if not len(recall):
        return 0.0
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * highest).sum())
