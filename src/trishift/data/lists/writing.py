"""Writing lists of clips that `read_list` reads back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from trishift.data.lists.clips import read_list
from trishift.data.lists.records import VideoRecord
from trishift.data.lists.text import write_lines
from trishift.errors import DataError


def write_list(path: str | Path, records: Iterable[VideoRecord], root: str | Path | None = None) -> None:
    """Write a list that `read_list` reads back: `path frames label` lines, or a CSV with header for `*.csv`.

    Frame counts and groups are omitted unless all records have them; a plain list has no groups. Paths under `root`
    (None: the folder of the list) are written relative to it. The file is written atomically.

    Raises:
        DataError: a record does not fit the format (for instance, a plain list requires exactly one label).
        OutputError: the file cannot be written.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    relative = [(_relative(record.path, root), record) for record in records]
    has_frames = all(record.num_frames is not None for _, record in relative)
    if path.suffix.lower() == ".csv":
        has_groups = bool(relative) and all(record.group is not None for _, record in relative)
        lines = _csv_lines(relative, has_frames, has_groups)
    else:
        lines = [_plain_line(name, record, has_frames) for name, record in relative]
    write_lines(path, lines, lambda temporary: _check_written(temporary, path, root, relative, has_frames))


def _relative(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def _plain_line(name: str, record: VideoRecord, has_frames: bool) -> str:
    frames = f" {record.num_frames}" if has_frames else ""
    return f"{name}{frames} {' '.join(map(str, record.labels))}"


def _csv_lines(relative: Sequence[tuple[str, VideoRecord]], has_frames: bool, has_groups: bool) -> list[str]:
    rows = [["path", *(["num_frames"] * has_frames), "label", *(["group"] * has_groups)]]
    for name, record in relative:
        frames, group = [str(record.num_frames)] * has_frames, [str(record.group)] * has_groups
        rows.append([name, *frames, ";".join(map(str, record.labels)), *group])
    return [csv_line(row) for row in rows]


def csv_line(cells: Iterable[str]) -> str:
    r"""A line of a CSV list, which is no comment, whatever its cells hold.

    Example:
        >>> from trishift.data.lists.writing import csv_line
        >>> print(csv_line(["#1.mp4", "jump"]))
        "#1.mp4",jump
    """
    return ",".join(map(_quoted, cells))


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if re.search(r'[",#\s]', cell) else cell


def _check_written(
    temporary: Path, path: Path, root: Path, relative: Sequence[tuple[str, VideoRecord]], has_frames: bool
) -> None:
    """Read the list back, because not every format can represent every path and label."""
    expected = [(root / name, r.labels, r.num_frames if has_frames else None) for name, r in relative]
    found = [(r.path, r.labels, r.num_frames) for r in read_list(temporary, root)] if relative else []
    if found != expected:
        raise DataError(f"{path}: these clips do not fit a plain list (labels or spaces in paths); name it *.csv")
