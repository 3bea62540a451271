"""From the probabilities of windows to events: intervals of a video with one class.

A window speaks for the times that are closer to its middle than to any other window's. An event begins when the
probability of its class reaches `enter` and continues while it is at least `leave` (hysteresis), or until another
class enters; classes of "nothing" never enter. With several labels per video, the events of different classes are
independent and may overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from trishift.data.classes import means_nothing
from trishift.errors import RecipeError
from trishift.evaluation.calibration import Calibration
from trishift.io.wording import did_you_mean
from trishift.streaming.timeline import Moment

_SAME = 1e-6  # seconds; times closer than this are equal
_SHORTEST = 0.4  # of a window; one of four overlapping windows is no event yet
_DIGITS = 6  # of probabilities, so that those read from a file are equal to those that were written


class _Usual(NamedTuple):
    """Defaults; `leave_nothing` is that of models that have a class of nothing to choose instead."""

    enter: float
    leave: float
    leave_nothing: float


_USUAL = _Usual(0.5, 0.3, 0.1), _Usual(1.0, 0.6, 0.2)  # without and with thresholds, of which they are factors


@dataclass(frozen=True)
class Reading:
    """The probabilities of a window that matter: the most likely classes, and all from `EventRule.leave` on.

    Attributes:
        index: number of the window, from 0.
        start, end: seconds since the video's first frame.
        probabilities: class number to probability, most likely first.
    """

    index: int
    start: float
    end: float
    probabilities: dict[int, float]


@dataclass(frozen=True)
class Event:
    """An interval of a video with one class.

    Attributes:
        start, end: seconds since the video's first frame.
        label: class number.
        probability: mean over its windows.
        windows: number of its windows.
        predictions: the most likely classes by their mean probability over its windows, as (class, probability).
    """

    start: float
    end: float
    label: int
    probability: float
    windows: int
    predictions: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class EventRule:
    """How windows become events.

    Attributes:
        enter: probability at which an event begins; for models with thresholds, the factor on a class's threshold.
        leave: probability below which it ends, at most `enter`; for models with thresholds a factor, too.
        shortest: events below this many seconds are dropped.
        merge: events of one class are joined over gaps of up to this many seconds.
        top_k: classes listed per window and event.
        nothing: classes that are no event. They begin none and end none: an event ends by its own probability.
        calibration: that of the model.
    """

    enter: float = 0.5
    leave: float = 0.3
    shortest: float = 0.0
    merge: float = 0.0
    top_k: int = 5
    nothing: frozenset[int] = frozenset()
    calibration: Calibration = field(default_factory=Calibration, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter or (self.calibration.thresholds is None and self.enter > 1):
            raise RecipeError(
                f"--enter {self.enter:g}, --leave {self.leave:g}: must be probabilities, and --leave not above --enter"
            )
        for name, value in (("--min-length", self.shortest), ("--merge", self.merge)):
            if not (math.isfinite(value) and value >= 0):
                raise RecipeError(f"{name} {value:g}: must be 0 or more seconds")
        if self.top_k < 1:
            raise RecipeError(f"--top-k must be 1 or more, not {self.top_k}")

    def enters(self, label: int) -> float:
        """The probability at which an event of a class begins."""
        return self._scaled(self.enter, label)

    def leaves(self, label: int) -> float:
        """The probability below which an event of a class ends."""
        return self._scaled(self.leave, label)

    @property
    def listed(self) -> float:
        """Like `leave`, from where on windows list a class; low enough for every default."""
        return min(self.leave, _USUAL[self.calibration.thresholds is not None].leave_nothing)

    def _scaled(self, factor: float, label: int) -> float:
        thresholds = self.calibration.thresholds
        return factor if thresholds is None else min(1.0, factor * float(thresholds[label]))

    def reading(self, moment: Moment) -> Reading:
        """The probabilities of a window that this rule needs, rounded."""
        scores = moment.probabilities.round(_DIGITS)
        order = np.argsort(-scores, kind="stable")
        listed = [
            int(c)
            for place, c in enumerate(order)
            if place < self.top_k or scores[c] >= self._scaled(self.listed, int(c))
        ]
        probabilities = {c: float(scores[c]) for c in listed}
        return Reading(moment.index, round(moment.start, _DIGITS), round(moment.end, _DIGITS), probabilities)


def event_rule(
    length: float,
    hop: float,
    calibration: Calibration | None = None,
    *,
    enter: float | None = None,
    leave: float | None = None,
    shortest: float | None = None,
    merge: float | None = None,
    top_k: int = 5,
    nothing: frozenset[int] = frozenset(),
) -> EventRule:
    """The rule for windows of some seconds; what is None has its default.

    Args:
        length: seconds per window.
        hop: seconds from one window to the next.
        calibration: that of the model; default: no calibration.
        enter: default: 0.5, or 1 times the thresholds.
        leave: default: 0.3, or 0.6 times the thresholds. If the model has a class of `nothing` to choose instead, and
            one label per video: 0.1, or 0.2 times the thresholds. Not above `enter`.
        shortest: default: 0.4 windows.
        merge: default: a hop.
        top_k: classes listed per window and event.
        nothing: classes that are no event.

    Raises:
        RecipeError: a value is out of range; names the command's option.
    """
    calibration = calibration or Calibration()
    usual = _USUAL[calibration.thresholds is not None]
    usual_leave = usual.leave_nothing if nothing and not calibration.multi_label else usual.leave
    enter = usual.enter if enter is None else enter
    return EventRule(
        enter,
        min(usual_leave, enter) if leave is None else leave,
        _SHORTEST * length if shortest is None else shortest,
        hop if merge is None else merge,
        top_k,
        nothing,
        calibration,
    )


def nothing_classes(labels: Sequence[str], names: Sequence[str] | None) -> frozenset[int]:
    """The classes that are no event.

    Args:
        labels: K class names.
        names: names of these classes; None: those with a usual name, such as `No gesture` or `background`.

    Raises:
        RecipeError: a name is unknown.
    """
    if names is None:
        return frozenset(place for place, label in enumerate(labels) if means_nothing(label))
    for name in names:
        if name not in labels:
            raise RecipeError(f"--nothing {name!r}: the model has no such class{did_you_mean(name, labels)}")
    return frozenset(labels.index(name) for name in names)


def find_events(readings: Iterable[Reading], rule: EventRule) -> list[Event]:
    """The events of a video, in order of time.

    Args:
        readings: its windows in order.
        rule: how they become events.

    Example:
        >>> from trishift.streaming.events import EventRule, Reading, find_events
        >>> scores = (0.1, 0.8, 0.9, 0.4, 0.2)  # of class 7, per window of 2 s
        >>> readings = [Reading(i, i / 2, i / 2 + 2, {7: score}) for i, score in enumerate(scores)]
        >>> [event] = find_events(readings, EventRule())
        >>> event.start, event.end, event.label
        (1.25, 2.75, 7)
    """
    merged = _merged(_runs(readings, rule), rule)
    lasting = [run for run in merged if run.end - run.start >= rule.shortest]
    events = [run.event(rule.top_k) for run in _merged(lasting, rule)]
    return sorted(events, key=lambda event: (event.start, event.end, event.label))


@dataclass
class _Run:
    """Consecutive windows with one class."""

    start: float
    end: float
    label: int
    windows: int = 0
    sums: dict[int, float] = field(default_factory=dict)

    def add(self, cell: tuple[float, float], probabilities: dict[int, float]) -> None:
        self.end = cell[1]
        self.windows += 1
        for label, value in probabilities.items():
            self.sums[label] = self.sums.get(label, 0.0) + value

    def joined(self, other: _Run) -> _Run:
        labels = {**self.sums, **other.sums}
        sums = {label: self.sums.get(label, 0.0) + other.sums.get(label, 0.0) for label in labels}
        return replace(self, end=other.end, windows=self.windows + other.windows, sums=sums)

    def event(self, top_k: int) -> Event:
        means = {label: round(total / self.windows, _DIGITS) for label, total in self.sums.items()}
        first = sorted(means.items(), key=lambda entry: (entry[0] != self.label, -entry[1], entry[0]))
        return Event(
            round(self.start, 3), round(self.end, 3), self.label, means[self.label], self.windows, tuple(first[:top_k])
        )


def _runs(readings: Iterable[Reading], rule: EventRule) -> Iterator[_Run]:
    """Apply the thresholds; runs of different classes overlap only with several labels per video."""
    running: dict[int, _Run] = {}
    for cell, reading in _cells(readings):
        if any(run.end < cell[0] - _SAME for run in running.values()):  # nothing is known about the time between
            yield from running.values()
            running = {}
        wanted = (_several_labels if rule.calibration.multi_label else _one_label)(reading.probabilities, running, rule)
        yield from (run for label, run in running.items() if label not in wanted)
        running = {label: running.get(label) or _Run(*cell, label) for label in wanted}
        for run in running.values():
            run.add(cell, reading.probabilities)
    yield from running.values()


def _one_label(probabilities: dict[int, float], running: dict[int, _Run], rule: EventRule) -> list[int]:
    best = max(probabilities, key=lambda label: probabilities[label])
    if best not in rule.nothing and probabilities[best] >= rule.enters(best):
        return [best]
    return [label for label in running if probabilities.get(label, 0.0) >= rule.leaves(label)]


def _several_labels(probabilities: dict[int, float], running: dict[int, _Run], rule: EventRule) -> list[int]:
    return [
        label
        for label, value in probabilities.items()
        if label not in rule.nothing and value >= (rule.leaves if label in running else rule.enters)(label)
    ]


def _cells(readings: Iterable[Reading]) -> Iterator[tuple[tuple[float, float], Reading]]:
    """Each window with the times it speaks for: those closer to its middle than to another's, within the window."""
    previous: Reading | None = None
    start = 0.0
    for reading in readings:
        if previous is None:
            start = reading.start
        else:
            border = (_middle(previous) + _middle(reading)) / 2
            yield (start, min(border, previous.end)), previous
            start = max(border, reading.start)
        previous = reading
    if previous is not None:
        yield (start, previous.end), previous


def _middle(reading: Reading) -> float:
    return (reading.start + reading.end) / 2


def _merged(runs: Iterable[_Run], rule: EventRule) -> Iterator[_Run]:
    """Join neighboring runs of one class over short gaps; with one label per video, nothing lies between them."""
    waiting: dict[int, _Run] = {}
    for run in runs:
        track = run.label if rule.calibration.multi_label else 0
        before = waiting.get(track)
        if before is None:
            waiting[track] = run
        elif before.label == run.label and run.start - before.end <= rule.merge + _SAME:
            waiting[track] = before.joined(run)
        else:
            yield before
            waiting[track] = run
    yield from waiting.values()
