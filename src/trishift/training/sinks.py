"""The numbers of a run: JSON lines (the reference), and trackers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trishift.errors import DataError, OutputError
from trishift.io.atomic import write_text
from trishift.io.regular import check_regular
from trishift.training.trackers import Trackers


class MetricsLog:
    """Appends records to `metrics.jsonl` and their numbers to trackers.

    On resume, records from the resumed iteration on are dropped, so that no iteration appears twice.
    """

    def __init__(self, folder: Path, resume_iteration: int | None = None, trackers: Trackers | None = None) -> None:
        self.path = folder / "metrics.jsonl"
        if resume_iteration is None:
            write_text(self.path, "")
        else:
            self._truncate(resume_iteration)
        self._file = self.path.open("a", encoding="utf-8")
        self._trackers = trackers or Trackers(("tensorboard",), folder, {}, resume_iteration)

    def write(self, kind: str, iteration: int, values: Mapping[str, Any]) -> None:
        """Add a record of a kind (`train` or `evaluation`); values that are not finite become null."""
        known = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
        try:
            self._file.write(_line({"kind": kind, "iteration": iteration, **known}))
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror}); the last checkpoint is intact"
            ) from error
        numbers = {f"{kind}/{name}": value for name, value in known.items() if isinstance(value, int | float)}
        self._trackers.log(numbers, iteration)

    def close(self) -> None:
        """Flush and close everything."""
        self._file.close()
        self._trackers.close()

    def _truncate(self, iteration: int) -> None:
        if not self.path.exists():
            return
        records = [record for record in _read(self.path) if record["iteration"] < iteration]
        write_text(self.path, "".join(_line(record) for record in records))


def read_metrics(folder: Path, kind: str) -> list[dict[str, Any]]:
    """A run's records of a kind (`train` or `evaluation`), in order."""
    return [record for record in _read(folder / "metrics.jsonl") if record.get("kind") == kind]


def counts_from_zero(folder: Path) -> bool:
    """Whether an earlier version wrote a run's records, with epochs from 0; they are read as counted from 1."""
    path = folder / "metrics.jsonl"
    return path.is_file() and any(record.get("epoch") == 0 for record in _parse(path))


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _read(path: Path) -> list[dict[str, Any]]:
    """All intact records of a file. Epochs count from 1."""
    records = _parse(path)
    if any(record.get("epoch") == 0 for record in records):  # written before epochs counted from 1
        return [_with_epoch_from_1(record) for record in records]
    return records


def _parse(path: Path) -> list[dict[str, Any]]:
    """The records as written; a kill may have truncated the last one."""
    records = []
    try:
        check_regular(path)
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the run folder") from None
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and type(record.get("iteration")) is int:
            records.append(record)
    return records


def _with_epoch_from_1(record: dict[str, Any]) -> dict[str, Any]:
    epoch = record.get("epoch")
    return {**record, "epoch": epoch + 1} if isinstance(epoch, int) else record
