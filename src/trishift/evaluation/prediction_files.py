"""The files of predictions, in the format of their suffix.

.jsonl  a line {"video", "predictions": [{"class", "label", "probability"}]} per video, see `Prediction.to_dict`
.csv    a row per class: video, rank, class, label, probability, and for models with thresholds applies (0 or 1)
.json   a list of the objects of .jsonl
.parquet  the same columns by pyarrow, a row per video
.pkl    the list of (video, [probabilities], [class indices]) that Paddle's TSM wrote

The first two grow while a job runs; the others are made of lines in the end, at once.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from trishift.errors import DataError
from trishift.evaluation.parquet import check_installed, write_parquet
from trishift.io.atomic import write_atomically
from trishift.io.line_files import encode_line

Row = dict[str, Any]
"""A prediction as from `Prediction.to_dict`."""

LINES, PARQUET = ".jsonl", ".parquet"
_COLUMNS = ("video", "rank", "class", "label", "probability")


def check_format(path: Path) -> None:
    """Refuse a format that cannot be written here, before the work.

    Raises:
        FrameworkError: a package is missing.
    """
    if path.suffix == PARQUET:
        check_installed()


def encode_rows(rows: Iterable[Row], suffix: str, *, first: bool) -> bytes:
    """Predictions as they are appended to a growing file; `first`: to an empty one."""
    return _table(rows, header=first) if suffix == ".csv" else b"".join(map(encode_line, rows))


def _table(rows: Iterable[Row], *, header: bool) -> bytes:
    buffer, rows = io.StringIO(), iter(rows)
    writer = csv.writer(buffer)
    first = next(rows, None)
    if header:
        writer.writerow([*_COLUMNS, *(["applies"] if first is not None and "labels" in first else [])])
    for row in chain([] if first is None else [first], rows):
        for rank, entry in enumerate(row["predictions"], 1):
            applies = [int(entry["applies"])] if "applies" in entry else []
            writer.writerow(
                [row["video"], rank, entry["class"], entry["label"], f"{entry['probability']:.6f}", *applies]
            )
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def read_rows(path: Path) -> Iterator[Row]:
    """Read the lines of predictions.

    Raises:
        DataError: the file cannot be read, or a line is none.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield json.loads(line.decode("utf-8", "surrogateescape"))
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}:{number}: is not JSON ({error}); make the file anew") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write a file of predictions at once, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, lambda file: _WRITERS[path.suffix](rows, file))


def _write_list(rows: Iterable[Row], file: BinaryIO) -> None:
    """A JSON list as `json.dumps` indents it, one row in memory at a time."""
    before = "[\n"
    for row in rows:
        text = json.dumps(row, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        file.write(f"{before}  {text}".encode("utf-8", "surrogateescape"))
        before = ",\n"
    file.write(b"[]\n" if before == "[\n" else b"\n]\n")


def _write_pickle(rows: Iterable[Row], file: BinaryIO) -> None:
    entries = ((row["video"], row["predictions"]) for row in rows)
    content = [(video, [e["probability"] for e in found], [e["class"] for e in found]) for video, found in entries]
    pickle.dump(content, file, protocol=2)


def _write_growing(suffix: str) -> Callable[[Iterable[Row], BinaryIO], None]:
    def write(rows: Iterable[Row], file: BinaryIO) -> None:
        rows, first = iter(rows), True
        while (block := list(islice(rows, 1000))) or first:
            file.write(encode_rows(block, suffix, first=first))
            first = False

    return write


GROWING = (LINES, ".csv")
_WRITERS: dict[str, Callable[[Iterable[Row], BinaryIO], None]] = {
    ".json": _write_list,
    PARQUET: write_parquet,
    ".pkl": _write_pickle,
    ".pickle": _write_pickle,
    **{suffix: _write_growing(suffix) for suffix in GROWING},
}
FORMATS = (*GROWING, *(suffix for suffix in _WRITERS if suffix not in GROWING))
"""All suffixes."""
