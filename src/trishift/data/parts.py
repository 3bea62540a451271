"""Parts of videos, written as a fragment after the path: `long.mp4#t=12.5,20` or `long.mp4#frames=0,30`.

`#t=` is the W3C notation for seconds (Media Fragments URI 1.0). A part is half open: its end is not included. A path
with a fragment is accepted wherever a clip is: in lists, commands and the Python API.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trishift.errors import DataError
from trishift.io.regular import exists
from trishift.io.wording import counted

_FRAMES = (("start_frame", "end_frame"), ("start_frame", "stop_frame"), ("frame_start", "frame_end"))
_SECONDS = (
    ("start_time", "end_time"), ("time_start", "time_end"), ("start_seconds", "end_seconds"), ("start_sec", "end_sec"),
    ("t_start", "t_end"), ("start_timestamp", "end_timestamp"), ("start_timestamp", "stop_timestamp"),
)  # fmt: skip
_EITHER = (("start", "end"), ("start", "stop"), ("begin", "end"))
_MILLISECONDS = ("start_ms", "end_ms")
_BARE = frozenset(name for pair in _EITHER for name in pair)
PART_COLUMNS = frozenset(
    name for pairs in (_FRAMES, _SECONDS, (_MILLISECONDS,), _EITHER) for pair in pairs for name in pair
)
_SPELLING = re.compile(  # letters and digits of a header
    r"(?:clip|segment|seg|video|action|event)?(?P<before>t|time|frames?|secs?|seconds?)?"
    r"(?:(?P<start>start|begin|from|onset)|end|stop|to|offset)"
    r"(?:time(?=.))?(?P<after>time|timestamp|s|secs?|seconds?|ms|msecs?|milliseconds?|frames?|frameidx|frameindex"
    r"|hhmmssms|ssmsec)?"  # the last two: ELAN
)
_FRAGMENT = re.compile(r"(?P<file>.+)#(?P<unit>t|frames)=(?P<start>[\d.:]*),(?P<end>[\d.:]+)", re.DOTALL)
_CLOCK = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?)")


@dataclass(frozen=True, slots=True)
class Part:
    """A half-open interval of a video, [start, end).

    Attributes:
        start, end: frame numbers from 0, or seconds.
        seconds: unit of `start` and `end`.
    """

    start: float
    end: float
    seconds: bool = False

    def __str__(self) -> str:
        """The fragment that follows a path."""
        return f"#{'t' if self.seconds else 'frames'}={self.start:.10g},{self.end:.10g}"

    def frames(self, num_frames: int, fps: float | None, name: str, times: np.ndarray | None = None) -> range:
        """Frame numbers of the part in a video: both ends are moved to the nearest frame.

        Args:
            num_frames: length of the video.
            fps: mean frame rate of the video; None if unknown.
            name: name of the video, for errors.
            times: (num_frames,) seconds of the frames, ascending from 0. If they show that the frame rate varies, they
                determine the frames instead of `fps`. None: unknown.

        Raises:
            DataError: the part lies outside the video, or it is in seconds and the frame rate is unknown.
        """
        if self.seconds and not fps:
            raise DataError(f"{name}: the part {self} is in seconds, but the frame rate is unknown; give it in frames")
        scale = fps if self.seconds and fps else 1.0
        start, end = round(self.start * scale), min(round(self.end * scale), num_frames)
        if self.seconds and fps and times is not None and _varies(times, fps):
            edges = np.append((times[1:] + times[:-1]) / 2, times[-1] + (times[-1] - times[-2]) / 2)
            start, end = (int(place) for place in np.searchsorted(edges, (self.start, self.end)))
        if start >= end:
            raise DataError(
                f"{name}: the part {self} lies outside the video of {counted(num_frames, 'frame')}; check the list"
            )
        return range(start, end)


def _varies(times: np.ndarray, fps: float) -> bool:
    """Whether some frame is away from its place at a constant frame rate by more than rounded time stamps are."""
    return len(times) > 1 and bool(np.abs(times - np.arange(len(times)) / fps).max() > 0.25 / fps)


def split_part(path: str | Path) -> tuple[Path, Part | None]:
    """Split a path into the file or folder and the part of it; None for the whole.

    Raises:
        DataError: the fragment is malformed.

    Example:
        >>> from trishift.data.parts import split_part
        >>> split_part("long.mp4#t=1:00,1:02.5")
        (PosixPath('long.mp4'), Part(start=60.0, end=62.5, seconds=True))
    """
    match = _FRAGMENT.fullmatch(str(path))
    if match is None or exists(path):  # a file may have such a name
        return Path(path), None
    names = ("start", "end")
    part = _bounds(names, [match["start"] or "0", match["end"]], match["unit"] == "t", str(path))
    return Path(match["file"]), _checked(part, str(path))


def part_names(header: Sequence[str]) -> list[str]:
    """The names of columns in lowercase, with other spellings of part columns replaced by the usual ones.

    A spelling counts only if the header has both its start and its end: `to` alone may be anything.

    Example:
        >>> from trishift.data.parts import part_names
        >>> part_names(["path", "clipStart", "clipEnd"]), part_names(["Path", "from (s)", "to (s)"])
        (['path', 'start', 'end'], ['path', 'start_time', 'end_time'])
    """
    names = [name.strip().lower() for name in header]
    usual = [None if name in PART_COLUMNS else _usual_name(name) for name in names]
    taken = {*names}
    return [
        new if new and usual.count(new) == 1 and new not in taken and _counterpart(new) in usual else name
        for name, new in zip(names, usual, strict=True)
    ]


def _usual_name(name: str) -> str | None:
    """`start_frame` for `Frame (from)`; None if the name is no spelling of a part column."""
    match = _SPELLING.fullmatch(re.sub(r"[^a-z0-9]", "", name))
    if match is None:
        return None
    unit, edge = match["before"] or match["after"] or "", "start" if match["start"] else "end"
    if not unit:
        return edge
    return f"{edge}_{'frame' if unit.startswith('frame') else 'ms' if unit.startswith('m') else 'time'}"


def _counterpart(name: str) -> str:
    edge, *unit = name.split("_")
    return "_".join(["end" if edge == "start" else "start", *unit])


def bare_seconds(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bool:
    """Whether columns named only `start` and `end` hold seconds: some cell has a decimal point or a colon.

    Example:
        >>> from trishift.data.parts import bare_seconds
        >>> bare_seconds(["path", "start", "end"], [["a.mp4", "3", "7"], ["b.mp4", "0", "2.5"]])
        True
    """
    places = [place for place, name in enumerate(header) if name in _BARE]
    return any(mark in row[place] for row in rows for place in places if place < len(row) for mark in ".:")


def read_part(row: Mapping[str, str], place: str, bare_in_seconds: bool = False) -> Part | None:
    """Read the part described by a row of a CSV list; None for the whole video.

    Args:
        row: maps column names to cells.
        place: file and line, for errors.
        bare_in_seconds: as in `read_bounds`.

    Raises:
        DataError: as in `read_bounds`, or the part is empty.
    """
    bounds = read_bounds(row, place, bare_in_seconds)
    return None if bounds is None else _checked(bounds, place)


def _checked(part: Part, place: str) -> Part:
    if part.start >= part.end:
        raise DataError(
            f"{place}: the part from {part.start:.10g} to {part.end:.10g} is empty; the end must be greater"
        )
    return part


def read_bounds(row: Mapping[str, str], place: str, bare_in_seconds: bool = False) -> Part | None:
    """Read the start and end in a row of a CSV list, in whatever order; None for the whole video.

    Columns `start_frame, end_frame` count frames from 0, excluding the end; `start_time, end_time` are seconds or
    `h:mm:ss`, and `start_ms, end_ms` milliseconds. If a row has several, frames take precedence. Plain `start, end` are
    seconds if written with a decimal point or colon, and refused otherwise. `part_names` reads other spellings.

    Args:
        row: maps column names to cells.
        place: file and line, for errors.
        bare_in_seconds: `start, end` are seconds in any case, see `bare_seconds`.

    Raises:
        DataError: a number is malformed, one end is missing, or the unit is ambiguous.
    """
    for pairs, seconds in ((_FRAMES, False), (_SECONDS, True), ((_MILLISECONDS,), True), (_EITHER, None)):
        for names in pairs:
            if all(name in row for name in names):
                texts = [row[name] for name in names]
                if not any(texts):
                    continue  # an empty pair of cells: the whole video
                if names == _MILLISECONDS:
                    texts = [f"{int(text) / 1000:.3f}" if _frame(text) is not None else text for text in texts]
                return _bounds(names, texts, True if seconds is None and bare_in_seconds else seconds, place)
    alone = sorted(name for name in PART_COLUMNS & row.keys() if row[name])
    if alone:
        raise DataError(f"{place}: column {alone[0]!r} is one end of a part; name the column of its other end like it")
    return None


def _bounds(names: tuple[str, str], texts: list[str], seconds: bool | None, place: str) -> Part:
    if seconds is None:
        if not any(mark in text for text in texts for mark in ".:"):
            raise DataError(
                f"{place}: {names[0]}, {names[1]} could be frames or seconds; rename the columns to start_frame, "
                "end_frame or start_time, end_time"
            )
        seconds = True
    values = [_seconds(text) if seconds else _frame(text) for text in texts]
    if None in values:
        wrong = texts[values.index(None)]
        raise DataError(
            f"{place}: {wrong[:40]!r} is not a {'time' if seconds else 'frame number'} ({names[0]}, {names[1]})"
        )
    start, end = (value or 0.0 for value in values)
    return Part(start, end, seconds)


def _frame(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,9}", text) else None


def _seconds(text: str) -> float | None:
    match = _CLOCK.fullmatch(text)
    if match is None or len(text) > 20:
        return None
    return 3600 * int(match["hours"] or 0) + 60 * int(match["minutes"] or 0) + float(match["seconds"])
