"""Annotated parts of videos in one form, whatever tool wrote them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field

from trishift.data.parts import Part
from trishift.errors import DataError
from trishift.io.wording import counted, one_of, shown_first

_SHOWN = 5  # tiers in a message
_LATEST = 1e9  # seconds or frames


@dataclass(frozen=True, slots=True)
class Annotation:
    """A labeled part of a video.

    Attributes:
        video: the video as the file names it: a path, an address or an identifier.
        part: from start to end.
        label: class name.
        tier: the layer of annotations that it belongs to; empty in formats without tiers.
        place: file and line or element, for messages.
        split: `train`, `val` or `test`, if the file divides its videos.
    """

    video: str
    part: Part
    label: str
    tier: str
    place: str
    split: str | None = None


@dataclass
class Annotations:
    """The annotations of some files. A reader sets `place` before it adds what it finds there.

    Attributes:
        found: the annotations, in the order of the files.
        excluded: parts that belong to no class, but are not background either.
        durations: video to its length in seconds, as far as the files name it.
        skipped: reason to the places of what was not read.
        notes: decisions made.
        place: file and line or element that is being read.
    """

    found: list[Annotation] = field(default_factory=list)
    excluded: list[Annotation] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    skipped: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)
    place: str = ""

    def add(
        self,
        video: str,
        bounds: tuple[float, float],
        label: str,
        *,
        seconds: bool = True,
        tier: str = "",
        split: str | None = None,
        excluded: bool = False,
    ) -> None:
        """Add the annotation at `place`, or record why it cannot be used.

        Args:
            video: the video as the file names it.
            bounds: start and end, the latter not included.
            label: class name.
            seconds: unit of the bounds; False: frames from 0.
            tier: the layer that it belongs to.
            split: `train`, `val` or `test`.
            excluded: the part belongs to no class.

        Raises:
            TypeError: a name is no text; `read_annotations` says where.
        """
        if not all(isinstance(name, str) for name in (video, label, tier)):
            raise TypeError("the video, label or tier is no text")
        start, end = (float(bound) for bound in bounds)
        label = label.strip()
        reason = _problem(start, end, video, label)
        if reason:
            shown = f"{label or 'no label'}, {start:.10g} to {end:.10g}"
            self.skip(reason, f" ({shown})")
            return
        into = self.excluded if excluded else self.found
        into.append(Annotation(video, Part(start, end, seconds), label, tier, self.place, split))

    def set_duration(self, video: str, seconds: object) -> None:
        """Record the length of a video, if it is one.

        Raises:
            TypeError, ValueError: it is no number; `read_annotations` says where.
        """
        duration = float(seconds)  # type: ignore[arg-type]
        if 0 < duration < _LATEST:
            self.durations[video] = duration

    def skip(self, reason: str, detail: str = "") -> None:
        """Record that something at `place` is not read."""
        self.skipped[reason].append(self.place + detail)

    def join(self, other: Annotations) -> None:
        """Add the annotations of another file."""
        self.found += other.found
        self.excluded += other.excluded
        self.durations |= other.durations
        self.notes += other.notes
        for reason, places in other.skipped.items():
            self.skipped[reason] += places

    @property
    def tiers(self) -> dict[str, int]:
        """Number of annotations per tier."""
        counts: dict[str, int] = defaultdict(int)
        for annotation in self.found:
            counts[annotation.tier] += 1
        return dict(counts)

    def select(self, tiers: Set[str], default: str | None, name: str) -> None:
        """Keep the annotations of some tiers.

        Args:
            tiers: the names; empty: `default`, or the only tier there is.
            default: the tier that a format usually means; None without one.
            name: the file, for errors.

        Raises:
            DataError: no tier is named, and there are several.
        """
        present = self.tiers
        if not tiers and len(present) > 1 and default not in present:
            raise DataError(
                f"{name}: has {counted(len(present), 'tier')} of labels ({shown_first(list(present), _SHOWN)}); choose "
                "one with --tier, or repeat the option for several"
            )
        wanted: Set[str] = tiers or ({default} if default in present else present.keys())  # type: ignore[arg-type]
        if present and not wanted & present.keys():
            self.notes.append(f"{name}: has none of the chosen tiers, only {shown_first(list(present), _SHOWN)}")
        self.found = [annotation for annotation in self.found if annotation.tier in wanted]
        others = [f"{tier} ({count})" for tier, count in present.items() if tier not in wanted]
        if others and not tiers:
            self.notes.append(f"{name}: labels are those of {default!r}; --tier selects others: {', '.join(others)}")

    def drop_repeats(self) -> None:
        """Skip annotations that say the same as an earlier one."""
        first: dict[tuple[str, Part, str], Annotation] = {}
        for annotation in self.found:
            earlier = first.setdefault((annotation.video, annotation.part, annotation.label), annotation)
            if earlier is not annotation:
                self.place = annotation.place
                self.skip("annotations that repeat another", f" (as {earlier.place})")
        self.found = list(first.values())


def check_tiers(tiers: Set[str], present: Set[str]) -> None:
    """Raises DataError if no file has one of the tiers."""
    unknown = min(tiers - present, default=None)
    if unknown is not None:
        remedy = one_of(unknown, sorted(present)) if present - {""} else "; the annotations have none, omit --tier"
        raise DataError(f"--tier {unknown}: no such tier{remedy}")


def _problem(start: float, end: float, video: str, label: str) -> str | None:
    if not video:
        return "annotations without a video"
    if not label:
        return "annotations without a label"
    if not (abs(start) < _LATEST and abs(end) < _LATEST):  # false for NaN, too
        return "annotations at impossible times"
    if start < 0:
        return "annotations that begin before their video"
    if start == end:
        return "annotations of zero length"
    return "annotations that end before they begin" if start > end else None
