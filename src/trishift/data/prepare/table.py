"""`trishift prepare list`: a table of clips and class names becomes lists, labels and a report.

Any delimiter, header and order of columns: the columns of paths and labels are named, or detected and reported.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trishift.data.frames import VIDEO_SUFFIXES
from trishift.data.lists import read_list
from trishift.data.lists.text import Line, content_lines, csv_rows, read_text
from trishift.data.parts import PART_COLUMNS, bare_seconds, part_names, read_part
from trishift.data.prepare.discovery import Found, FoundClip
from trishift.data.prepare.options import SplitOptions
from trishift.data.prepare.own_clips import prepare_clips
from trishift.data.prepare.report import PreparationReport
from trishift.data.split_names import split_of
from trishift.errors import DataError, shortened
from trishift.io.regular import exists, is_dir, is_file
from trishift.io.wording import counted

_PATHS = (
    *("path", "filepath", "file_path", "file", "filename", "file_name", "video_path", "video", "video_name"),
    *("clip", "clip_path", "clip_name", "video_id", "name", "id"),
)
_LABELS = (
    *("label", "class", "class_name", "label_name", "action", "activity", "gesture", "category", "target", "tag"),
    *("label_id", "class_id"),
)
_SPLIT_COLUMNS = ("split", "subset", "set", "partition", "usage")
_TRIED_SUFFIXES = ("", *sorted(VIDEO_SUFFIXES))
_TRIED = 50  # rows whose paths are looked for
_SHOWN = 20  # columns in a message
_MOST_COLUMNS = 1000


@dataclass(frozen=True)
class _Table:
    path: Path
    header: list[str]
    lines: list[Line]
    rows: list[list[str]]

    def column(self, number: int) -> list[str]:
        return [row[number] for row in self.rows]

    def place(self, row: int) -> str:
        return f"{self.path}:{self.lines[row].number}"


def prepare_list(
    table: str | Path,
    output: str | Path,
    *,
    clips: str | Path | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    **options: Any,
) -> PreparationReport:
    """Check the clips of a table and write training and validation lists; see `prepare_folder`.

    A column `split` (or `subset`, ...) whose cells are names of splits is a ready split. Columns such as `start_time`
    and `end_time` cut parts out of videos, see `trishift.data.parts`.

    Args:
        table: CSV or TSV file, with or without a header.
        output: folder for the lists; created if missing.
        clips: folder that the paths are relative to; None for the table's.
        path_column: header of the paths, or the column's number from 1; None to detect it.
        label_column: likewise for the class names.
        **options: fields of `SplitOptions`.

    Raises:
        DataError: the table cannot be read, a column is unknown or cannot be detected, a clip has two labels, none of
            the clips exists, or as in `prepare_folder`.
        OutputError: `output` cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from trishift.data.prepare import prepare_list
        >>> clips = Path("clips").glob("*/*.mp4")
        >>> rows = ["file;action", *(f"{clip};{clip.parent.name}" for clip in clips)]
        >>> _ = Path("my.csv").write_text("\\n".join(rows))
        >>> report = prepare_list("my.csv", "lists", val_fraction=0.5)
        >>> report.notes[0]
        "my.csv: paths are read from column 'file', labels from column 'action'"
    """
    settings = SplitOptions(**options)
    path, output = Path(table), Path(output).absolute()
    directory = (path.parent if clips is None else Path(clips)).absolute()
    found = _find(_read_table(path, directory), directory, path_column, label_column)
    return prepare_clips(found, directory, output, settings, PreparationReport("list", str(output)))


def _read_table(path: Path, directory: Path) -> _Table:
    lines = list(content_lines(path, read_text(path).split("\n"), keep_tabs=True))
    if not lines:
        raise DataError(f"{path}: the table is empty; give one clip per line")
    header_of = {delimiter: next(csv_rows(path, lines[:1], delimiter))[1] for delimiter in "\t;,|"}
    delimiter = next((delimiter for delimiter, cells in header_of.items() if len(cells) > 1), None)
    if delimiter is None:
        raise DataError(f"{path}: {_one_column(path)}")
    rows = [[cell.strip() for cell in row] for _, row in csv_rows(path, lines, delimiter)]
    if len(rows[0]) > _MOST_COLUMNS:  # each cell is looked up on disk
        raise DataError(f"{path}: has {len(rows[0]):,} columns, more than {_MOST_COLUMNS:,}; keep paths and labels")
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(rows[0]):
            raise DataError(
                f"{path}:{line.number}: {counted(len(row), 'column')} instead of {len(rows[0])}: {line.text[:60]!r}"
            )
    has_header = not any(_locate(directory, cell) for cell in rows[0])
    header = rows[0] if has_header else [str(number) for number in range(1, len(rows[0]) + 1)]
    if has_header and len(rows) == 1:
        raise DataError(f"{path}: the table has a header but no clips; give one clip per line")
    return _Table(path, header, lines[has_header:], rows[has_header:])


def _one_column(path: Path) -> str:
    """Why a file without delimiters is no table: a list, which needs no preparation, looks like this."""
    try:
        read_list(path)
    except DataError:
        return "only one column; give a table of paths and class names, separated by commas"
    return "a finished list of paths and class numbers; use it as is (data.train_list or data.val_list, eval, infer)"


def _find(table: _Table, directory: Path, path_column: str | None, label_column: str | None) -> Found:
    found = Found()
    paths = _chosen(table, path_column, "--path-column") if path_column else _path_column(table, directory)
    labels = _chosen(table, label_column, "--label-column") if label_column else _label_column(table, paths)
    splits = _split_column(table, {paths, labels})
    columns = f"paths are read from column {table.header[paths]!r}, labels from column {table.header[labels]!r}"
    found.notes.append(f"{table.path}: {columns}")
    if splits is not None:
        found.notes.append(f"{table.path}: column {table.header[splits]!r} is read as a ready split")
    names = part_names(table.header)
    unread = [
        table.header[n] for n, name in enumerate(names) if n not in (paths, labels, splits) and name not in PART_COLUMNS
    ]
    if unread:
        found.notes.append(f"{table.path}: columns that are not read: {', '.join(unread)}")
    _add_clips(found, table, directory, paths, labels, splits)
    labels_found = {label for clip in found.clips for label in clip.labels}
    numbers = sorted({label for label in labels_found if label.isdecimal()}, key=int)
    if numbers and numbers != [str(number) for number in range(len(labels_found))]:
        found.notes.append(f"labels are numbers but not 0, 1, 2, ...: they become class names ({numbers[0]!r}, ...)")
    if not found.clips:
        raise DataError(
            f"{table.path}: none of the {counted(len(table.rows), 'clip')} exists in {directory}, first "
            f"{shortened(table.rows[0][paths])!r}; "
            "name their folder with --clips, or another column with --path-column"
        )
    return found


def _add_clips(found: Found, table: _Table, directory: Path, paths: int, labels: int, splits: int | None) -> None:
    seen: dict[Path, tuple[int, FoundClip]] = {}
    names = part_names(table.header)
    bare_in_seconds = bare_seconds(names, table.rows)
    for number, row in enumerate(table.rows):
        if not row[paths] or not row[labels]:
            raise DataError(f"{table.place(number)}: the path or label is empty; fill it in or remove the line")
        if ";" in row[labels]:
            raise DataError(
                f"{table.place(number)}: {row[labels][:60]!r} names several classes; multi-label lists need no "
                "preparation: name the columns path and label, and use the file as a list"
            )
        located = _locate(directory, row[paths])
        if located is None:
            found.missing.setdefault(table.path.name, []).append(f"{row[paths]} (line {table.lines[number].number})")
            continue
        part = read_part(dict(zip(names, row, strict=True)), table.place(number), bare_in_seconds)
        split = None if splits is None else split_of(row[splits])
        clip = FoundClip(Path(f"{located}{part or ''}"), (row[labels],), split)
        first, earlier = seen.setdefault(clip.path, (number, clip))
        if earlier is clip:
            found.clips.append(clip)
        elif earlier != clip:
            raise DataError(
                f"{table.place(number)}: {row[paths]} has another label or split than in line "
                f"{table.lines[first].number}; keep one of the lines"
            )
        else:
            found.skip("lines that repeat an earlier line", [clip.path])
    found.clips.sort(key=lambda clip: clip.path)


def _locate(directory: Path, text: str) -> Path | None:
    """The path of an existing clip relative to `directory`, with a video suffix added if needed."""
    if not text or len(text) > 4096 or "\0" in text:
        return None
    start = os.path.join(directory, text)  # noqa: PTH118 (many clips may be missing, and Path is slow)
    for suffix in _TRIED_SUFFIXES:
        if not exists(start + suffix):
            continue
        name = Path(text + suffix)
        if is_file(start + suffix) or (is_dir(start + suffix) and name.name not in ("", "..")):
            return name
    return None


def _chosen(table: _Table, name: str, option: str) -> int:
    if name in table.header:
        return table.header.index(name)
    if name.isdecimal() and 1 <= int(name) <= len(table.header):
        return int(name) - 1
    columns = shortened(", ".join(table.header), 1000)
    raise DataError(f"{table.path}: no column {name!r} for {option}; its columns are {columns}")


def _path_column(table: _Table, directory: Path) -> int:
    """The column with most existing clips; among equals, or without any, the one named like paths."""
    columns = range(len(table.header))
    hits = [sum(_locate(directory, cell) is not None for cell in table.column(n)[:_TRIED]) for n in columns]
    named = _named(table, _PATHS, columns)
    best = max(hits)
    if best and hits.count(best) == 1:
        return hits.index(best)
    if named is None or hits[named] < best:
        raise _undetected(table, "paths", "--path-column")
    return named


def _label_column(table: _Table, paths: int) -> int:
    """The column named like labels, or the only one left."""
    others = [n for n, name in enumerate(part_names(table.header)) if n != paths and name not in PART_COLUMNS]
    named = _named(table, _LABELS, others)
    if named is not None:
        return named
    others = [n for n in others if n != _split_column(table, {paths})]
    if len(others) == 1:
        return others[0]
    raise _undetected(table, "class names", "--label-column")


def _split_column(table: _Table, taken: set[int]) -> int | None:
    columns = [n for n in range(len(table.header)) if n not in taken]
    named = _named(table, _SPLIT_COLUMNS, columns)
    return named if named is not None and all(map(split_of, table.column(named))) else None


def _named(table: _Table, names: Sequence[str], columns: Sequence[int]) -> int | None:
    """The first of the columns with one of the names, in the order of the names."""
    header = {table.header[n].lower().replace(" ", "_"): n for n in reversed(columns)}
    return next((header[name] for name in names if name in header), None)


def _undetected(table: _Table, content: str, option: str) -> DataError:
    shown = ", ".join(table.header[:_SHOWN])
    return DataError(f"{table.path}: which column holds the {content}? Choose one with {option}: {shown}")
