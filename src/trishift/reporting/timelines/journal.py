"""The windows of a timeline as JSON lines, written as soon as they are known; a later run continues the file.

The first line has the settings that the windows depend on, then there is one line per window:
{"window": 4, "start": 2.0, "end": 4.5, "predictions": [{"class": 3, "label": "Swiping Left", "probability": 0.87}]}.
The last line of a finished timeline is {"finished": true, "notes": [...]}.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trishift.errors import OutputError
from trishift.io.line_files import LineFile, Record, changed_setting, open_lines
from trishift.streaming.events import EventRule, Reading
from trishift.streaming.recording import Recording
from trishift.streaming.timeline import Moment, Timeline

LINES = ".jsonl"
_VERSION = 1


def journal_settings(timeline: Timeline, rule: EventRule, weights: str, file: Path | None) -> dict[str, Any]:
    """Everything that the lines of a journal depend on.

    Args:
        timeline: the windows.
        rule: selects the classes that are listed.
        weights: the weights as the user named them.
        file: their file; None: it is not on this machine yet.
    """
    source, thresholds, temperature = timeline.source, rule.calibration.thresholds, timeline.calibration.temperature
    return {
        "video": source.name,
        "changed": _changed(source.file if isinstance(source, Recording) else None),
        "checkpoint": weights,
        "weights_changed": _changed(file),
        "protocol": str(timeline.protocol),
        "window": timeline.length,
        "hop": timeline.hop,
        "top_k": rule.top_k,
        "listed": rule.listed,
        **({} if thresholds is None else {"thresholds": thresholds.round(6).tolist()}),
        **({} if temperature == 1 else {"temperature": temperature}),
    }


def _changed(path: Path | None) -> str | None:
    """When a file was changed; None for anything else."""
    if path is None or not path.is_file():
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))


@contextmanager
def open_journal(
    outputs: Sequence[Path], settings: Mapping[str, Any], labels: Sequence[str], timeline: Timeline
) -> Iterator[Journal]:
    """Open the journal of a timeline: the `.jsonl` output, or a file beside the first one, removed in the end.

    A new file in which there are no windows yet is removed if the video cannot be read.

    Raises:
        OutputError: another process writes it, or as `Journal` does.
    """
    kept = next((path for path in outputs if path.suffix == LINES), None)
    with tempfile.TemporaryDirectory(prefix="trishift-") as folder:
        beside = outputs[0].with_name(f"{outputs[0].name}.windows{LINES}") if outputs else None
        path = kept or beside or Path(folder) / f"windows{LINES}"
        is_new = not path.exists()
        with open_lines(path) as lines:
            try:
                journal = Journal(lines, settings, labels, timeline.batch_size)
                if timeline.source.live and journal.start and not journal.finished:
                    raise OutputError(f"{path}: holds windows of a live source, which cannot be continued; remove it")
                yield journal
            except BaseException:
                if is_new and not any("predictions" in record for record in lines):
                    path.unlink(missing_ok=True)
                raise
        if kept is None:
            path.unlink(missing_ok=True)


class Journal:
    """The windows of one video.

    Args:
        lines: the file, empty or begun by an earlier run.
        settings: everything that the windows depend on.
        labels: K class names.
        batch: windows per forward pass; a run continues at the beginning of a batch.

    Attributes:
        path: the file.
        start: number of the first window that is missing.
        finished: whether no window is missing.
        notes: those of a finished timeline.

    Raises:
        OutputError: the file is of another video or of other settings, or no timeline.
    """

    def __init__(self, lines: LineFile, settings: Mapping[str, Any], labels: Sequence[str], batch: int = 1) -> None:
        self._lines, self._labels, self.path = lines, labels, lines.path
        self.start, self.finished, self._kept = 0, False, 0
        self.notes: list[str] = []
        header: Record = {"timeline": _VERSION, **settings}
        first = next(iter(lines), None)
        if first is None:
            lines.keep(0)
            lines.add(header)
        elif first != header:
            raise OutputError(f"{lines.path}: {_difference(first, header)}; remove it, or name another file")
        self._resume(batch)

    def _resume(self, batch: int) -> None:
        """Find the first window that is missing, and drop the lines of an incomplete batch."""
        last = -1
        for record in self._lines:
            if record.get("finished"):
                self.finished, self.notes = True, list(record.get("notes", ()))
            last = record.get("window", last) if "predictions" in record else last
        self.start = last + 1 if self.finished else (last + 1) // batch * batch
        complete = (record for record in self._lines if record.get("window", -1) < self.start)
        self._kept = sum(1 for record in complete if "predictions" in record)
        self._lines.keep(1 + self._kept + self.finished)

    def add(self, readings: Sequence[Reading]) -> None:
        """Append windows.

        Raises:
            OutputError: they cannot be written; those before stay.
        """
        self._lines.add(*map(self._record, readings))

    def fill(self, timeline: Timeline, rule: EventRule, watch: Callable[[Moment], None]) -> None:
        """Classify and append all windows that are missing. Ctrl-C ends a live source, and interrupts others.

        Args:
            timeline: the windows.
            rule: selects the classes that are listed.
            watch: called with each window that has been appended.

        Raises:
            KeyboardInterrupt: its text names what to do.
        """
        if self.finished:
            return
        try:
            for moment in timeline.moments(self.start, self.start - self._kept):
                self.add([rule.reading(moment)])
                watch(moment)
        except KeyboardInterrupt:
            if not timeline.source.live:
                raise KeyboardInterrupt("interrupted; repeat the command to continue") from None
        self.finish(timeline.notes())

    def finish(self, notes: Sequence[str]) -> None:
        """Mark the timeline as complete."""
        self._lines.add({"finished": True, "notes": list(notes)})
        self.finished, self.notes = True, list(notes)

    def readings(self) -> Iterator[Reading]:
        """Read all windows so far."""
        for record in self._lines:
            if "predictions" in record:
                probabilities = {entry["class"]: entry["probability"] for entry in record["predictions"]}
                yield Reading(record["window"], record["start"], record["end"], probabilities)

    def _record(self, reading: Reading) -> Record:
        predictions = [
            {"class": label, "label": self._labels[label], "probability": value}
            for label, value in reading.probabilities.items()
        ]
        return {"window": reading.index, "start": reading.start, "end": reading.end, "predictions": predictions}


def _difference(found: Record, wanted: Record) -> str:
    """What keeps a file from being continued."""
    if "timeline" not in found:
        return "is no timeline of Trishift"
    return f"was begun with {changed_setting(found, wanted)}"
