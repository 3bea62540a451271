"""The content of a timeline's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trishift.io.terminal import printable
from trishift.reporting.timelines.journal import Journal
from trishift.streaming.events import Event, EventRule, Reading, find_events
from trishift.streaming.recording import Recording
from trishift.streaming.timeline import Timeline

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#7f6bd1")  # Okabe and Ito's


@dataclass(frozen=True)
class TimelineContent:
    """A finished timeline.

    Attributes:
        video: name of the source.
        labels: K class names.
        window, hop: seconds.
        rule: how windows became events.
        events: in order of time.
        duration: seconds until the end of the last window.
        begin: seconds at which the first window begins, which is later than 0 in parts of videos.
        windows: number of classified windows.
        readings: reads the windows again, in order; there may be many.
        notes: what was assumed or is missing.
        recording: reads the frames again; None for cameras and addresses.
    """

    video: str
    labels: tuple[str, ...]
    window: float
    hop: float
    rule: EventRule
    events: tuple[Event, ...]
    duration: float
    windows: int
    readings: Callable[[], Iterator[Reading]]
    begin: float = 0.0
    notes: tuple[str, ...] = ()
    recording: Recording | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, timeline: Timeline, labels: Sequence[str], rule: EventRule, journal: Journal) -> TimelineContent:
        """The content of a journal that holds all windows of a timeline."""
        windows, begin, duration = 0, 0.0, 0.0
        for reading in journal.readings():
            begin = begin if windows else reading.start
            windows, duration = windows + 1, reading.end
        source = timeline.source
        return cls(
            video=source.name,
            labels=tuple(labels),
            window=timeline.length,
            hop=timeline.hop,
            rule=rule,
            events=tuple(find_events(journal.readings(), rule)),
            duration=duration,
            windows=windows,
            readings=journal.readings,
            begin=begin,
            notes=tuple(journal.notes),
            recording=source if isinstance(source, Recording) else None,
        )

    def share(self, time: float) -> float:
        """Where a time lies between the beginning (0) and the end (1)."""
        return (time - self.begin) / max(self.duration - self.begin, 1e-3)

    @property
    def file(self) -> Path | None:
        """The video file or frame folder, if there is one."""
        return None if self.recording is None else self.recording.file

    @property
    def several_labels(self) -> bool:
        """Whether events of different classes may overlap."""
        return self.rule.calibration.multi_label

    def name(self, event: Event) -> str:
        """The class name of an event, in one line."""
        return printable(self.labels[event.label])

    def caption(self, event: Event) -> str:
        """An event's class with its probability."""
        return f"{self.name(event)} ({event.probability:.0%})"

    def used_labels(self) -> list[int]:
        """The classes that have events, in order of their numbers."""
        return sorted({event.label for event in self.events})

    def color(self, label: int) -> str:
        """The color of a class, #rrggbb; classes with events get different ones as long as there are enough."""
        used = self.used_labels()
        return _COLORS[(used.index(label) if label in used else label) % len(_COLORS)]
