"""Lists of clips, in every format of the originals.

A list has one clip per line. Each line is parsed independently of the others:

* `path label`, and `path frames label [label ...]`, separated by white space (TSN, TSM, TRN, MSN, Paddle, mmaction2) or
  by commas (M4): of two or more numbers, the first is the frame count. Paths may contain spaces.
* A CSV file with a header that names the columns `path` and `label`, and optionally `num_frames` (or `frames`), `group`
  and columns for parts of videos, such as `start_frame` and `end_frame` (see `trishift.data.parts`). Several labels are
  separated by `;`, and an empty cell means no label. Labels are numbers, or names if there is a label file.

Byte order marks, Windows line endings, blank lines and comments (`#`) are accepted. Paths are read as UTF-8; other
bytes are kept unchanged.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from trishift.data.lists.columns import hashes, repeated
from trishift.data.lists.records import ClipList, Row
from trishift.data.lists.text import Line, csv_rows, stream_lines
from trishift.data.parts import PART_COLUMNS, bare_seconds, part_names, read_part
from trishift.errors import DataError, shortened
from trishift.io.wording import counted, did_you_mean

_LOG = logging.getLogger(__name__)
_FRAME_COLUMNS = ("num_frames", "frames", "n_frames", "nframes", "frame_count", "total_frames")
_DIGITS = 9  # of a number
_NUMBER = re.compile(rf"-?\d{{1,{_DIGITS}}}")
_BLOCK = 2048  # lines that are read at once
_SIMPLE = re.compile(r"^([^\s,\0#][^\s,\0]{,4095}) (\d{1,9})(?: (\d{1,9}))?$", re.MULTILINE)  # path, one or two numbers
_NOT_NORMAL = ("//", "./", "/ ", ". ")  # where paths in such lines are not spelled as `Path` spells them
_SHOWN = 20  # columns in a warning
_FORMS = "'path frames label', 'path label' or the same with commas (class names need a CSV with the header path,label)"
_OTHER_TABLES = ", or make lists from any table with `trishift prepare list`"


def read_list(
    list_path: str | Path,
    root: str | Path | None = None,
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    has_labels: bool = True,
) -> ClipList:
    """Read a list of clips.

    Args:
        list_path: the list.
        root: folder that relative paths start from; None: the folder of the list.
        num_classes: upper limit of the labels (exclusive); None: not checked.
        class_names: names that a CSV list may use instead of label numbers; also determines `num_classes`.
        has_labels: False: each line is only a path (for prediction), and CSV lists need no label column.

    Raises:
        DataError: the list is missing or empty, a line is malformed or has a label out of range, or two lines give the
            same clip different labels.

    Example:
        >>> from pathlib import Path
        >>> from trishift.data.lists import read_list
        >>> _ = Path("list.txt").write_text("jump/a.mp4 120 0\\nrun/b.mp4 95 1\\n")
        >>> [(record.path.as_posix(), record.labels, record.num_frames) for record in read_list("list.txt")]
        [('jump/a.mp4', (0,), 120), ('run/b.mp4', (1,), 95)]
    """
    list_path = Path(list_path)
    lines = stream_lines(list_path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{list_path}: the list is empty; give one clip per line")
    clips = ClipList(list_path.parent if root is None else Path(root))
    labels = _LabelReader(list_path, class_names, num_classes)
    if header := _header(list_path, first):
        clips.extend(_read_csv(_Columns(list_path, first, header, has_labels), lines, labels))
    elif has_labels:
        if "path" in re.split(r"[;\t]", first.text.lower())[:_SHOWN]:
            raise DataError(f"{list_path}:{first.number}: separate the columns of a list by commas{_OTHER_TABLES}")
        if list_path.suffix.lower() == ".csv" and not any(map(str.isdecimal, re.split(r"[,\s]", first.text)[-1:])):
            raise DataError(f"{list_path}:{first.number}: the header has no column 'path'; rename one{_OTHER_TABLES}")
        _add_lines(clips, list_path, chain([first], lines), labels)
    else:
        clips.extend((_normal(text), (), None, number, None) for number, text in chain([first], lines))
    if not clips:
        raise DataError(f"{list_path}: the list has a header but no clips; give one clip per line")
    if has_labels:
        _check_agreement(list_path, clips)
    return clips


def _header(list_path: Path, line: Line) -> list[str] | None:
    """The column names if the line is a CSV header, else None."""
    ((_, cells),) = csv_rows(list_path, [line])
    columns = part_names(cells)
    return columns if "path" in columns else None


def _normal(name: str) -> str:
    """A path as `Path` spells it, so that equal paths are equal texts."""
    if "//" in name or "./" in name or name[-1:] in ("/", ".") or os.name == "nt":
        return str(Path(name))
    return name


class _LabelReader:
    """Reads and checks labels; each distinct text only once.

    Args:
        list_path: the list, for errors.
        class_names: names that may be used instead of numbers.
        num_classes: upper limit of the labels (exclusive); None: number of names, or not checked.
    """

    def __init__(self, list_path: Path, class_names: Sequence[str] | None, num_classes: int | None) -> None:
        self.list_path = list_path
        self._numbers = {name: number for number, name in enumerate(class_names or ())}
        self._num_classes = len(class_names) if num_classes is None and class_names is not None else num_classes
        self._known: dict[Hashable, tuple[int, ...]] = {}

    @property
    def names_are_numbers(self) -> bool:
        """Whether some class names look like class numbers."""
        return any(_NUMBER.fullmatch(name) for name in self._numbers)

    def numbers(self, line: int, texts: list[str]) -> tuple[int, ...]:
        """Labels given as numbers."""
        key = texts[0] if len(texts) == 1 else tuple(texts)
        labels = self._known.get(key)
        if labels is None:
            labels = self._known[key] = tuple(self._checked(line, int(text)) for text in texts)
        return labels

    def column(self, lines: Sequence[int], texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Labels of several lines, each given as one number."""
        for text in dict.fromkeys(texts):
            if text not in self._known:
                self.numbers(lines[texts.index(text)], [text])
        return [*map(self._known.__getitem__, texts)]

    def cell(self, line: int, text: str) -> tuple[int, ...]:
        """Labels in a CSV cell, separated by `;`: class numbers, everything else is a class name."""
        labels = self._known.get(text)
        if labels is None:
            parts = [part.strip() for part in text.split(";")] if text else []
            labels = self._known[text] = tuple(self._checked(line, self._number(line, part)) for part in parts)
        return labels

    def _number(self, line: int, text: str) -> int:
        if _NUMBER.fullmatch(text):
            return int(text)
        if text in self._numbers:
            return self._numbers[text]
        remedy = "is not in the label file" if self._numbers else "needs a label file that lists the class names"
        hint = did_you_mean(text[:60], self._numbers)
        raise DataError(f"{self.list_path}:{line}: label {text[:60]!r} is not a number and {remedy}{hint}")

    def _checked(self, line: int, label: int) -> int:
        if label < 0:
            raise DataError(f"{self.list_path}:{line}: label {label} is negative; classes are numbered from 0")
        if self._num_classes is not None and label >= self._num_classes:
            raise DataError(
                f"{self.list_path}:{line}: label {label} is out of range: there "
                f"{'is' if self._num_classes == 1 else 'are'} {counted(self._num_classes, 'class')}, numbered from 0"
            )
        return label


# CSV with a header


class _Columns:
    """The columns of a CSV list."""

    def __init__(self, list_path: Path, line: Line, header: list[str], has_labels: bool) -> None:
        if has_labels and "label" not in header:
            raise DataError(f"{list_path}:{line.number}: the header has no column 'label'; add it{_OTHER_TABLES}")
        repeated = [name for name, count in Counter(header).items() if count > 1]
        if repeated:
            raise DataError(f"{list_path}:{line.number}: the header has two columns {repeated[0][:60]!r}; rename one")
        ignored = [name for name in header if name not in ("path", "label", "group", *_FRAME_COLUMNS, *PART_COLUMNS)]
        if ignored:
            more = ", ..." if len(ignored) > _SHOWN else ""
            _LOG.warning("%s: ignored columns: %s%s", list_path, shortened(", ".join(ignored[:_SHOWN])), more)
        self.list_path, self.header = list_path, header
        self.path = header.index("path")
        self.label = header.index("label") if has_labels else None
        self.frames = [header.index(name) for name in _FRAME_COLUMNS if name in header]
        self.group = header.index("group") if "group" in header else None
        self.has_parts = not PART_COLUMNS.isdisjoint(header)
        self.bare_in_seconds = False  # columns `start` and `end`

    def name(self, line: Line, cells: list[str]) -> str:
        """The path of a row, with the part of the video that other columns define."""
        name = cells[self.path].strip()
        if not name:
            raise _malformed(self.list_path, line, "a path")
        name = _normal(name)
        if not self.has_parts:
            return name
        row = {column: cell.strip() for column, cell in zip(self.header, cells, strict=True)}
        return f"{name}{read_part(row, f'{self.list_path}:{line.number}', self.bare_in_seconds) or ''}"

    def num_frames(self, line: Line, cells: list[str]) -> int | None:
        """The frame count of a row, None if it has none."""
        for column in self.frames:
            text = cells[column].strip()
            if text:
                if not (text.isdecimal() and len(text) < _DIGITS + 1):
                    raise _malformed(self.list_path, line, "a whole number of frames")
                return int(text)
        return None


def _read_csv(columns: _Columns, lines: Iterator[Line], labels: _LabelReader) -> Iterator[Row]:
    if columns.label is not None and labels.names_are_numbers:
        _LOG.warning(
            "%s: labels are read as class numbers from 0, although some class names are numbers", columns.list_path
        )
    rows: Iterable[tuple[Line, list[str]]] = csv_rows(columns.list_path, lines)
    if columns.has_parts:
        rows = list(rows)
        columns.bare_in_seconds = bare_seconds(columns.header, (cells for _, cells in rows))
    for line, cells in rows:
        if len(cells) != len(columns.header):
            raise _malformed(columns.list_path, line, f"{counted(len(columns.header), 'column')} as in the header")
        found = () if columns.label is None else labels.cell(line.number, cells[columns.label].strip())
        group = "" if columns.group is None else cells[columns.group].strip()
        name, num_frames = columns.name(line, cells), columns.num_frames(line, cells)
        yield name, found, num_frames, line.number, group or None


# Lines without a header


def _add_lines(clips: ClipList, list_path: Path, lines: Iterable[Line], labels: _LabelReader) -> None:
    """Add the clips of lines, many at once where they are simple."""
    first: dict[str, int] = {}  # lines of the first frame count, the first line without one, the first count of 0
    lines = iter(lines)
    while block := list(islice(lines, _BLOCK)):
        if (columns := _simple_columns(block, labels, first)) is not None:
            clips.extend_columns(*columns)
        else:
            clips.extend(_read_lines(list_path, block, labels, first))
    _warn_of_doubtful_counts(list_path, first)


def _simple_columns(block: list[Line], labels: _LabelReader, first: dict[str, int]) -> tuple[Iterable[Any], ...] | None:
    """The columns of lines that are all `path label`, or all `path frames label`; None for any others.

    A list of a million clips takes a third of the time in which its lines are split one by one.
    """
    numbers, texts = zip(*block, strict=True)
    text = "\n".join(texts)
    if any(part in text for part in _NOT_NORMAL) or os.name == "nt":
        return None
    found = _SIMPLE.findall(text)
    if len(found) != len(block):
        return None
    names, former, latter = zip(*found, strict=True)
    has_counts = bool(latter[0])
    if not all(latter) if has_counts else any(latter):
        return None
    counts = [*map(int, former)] if has_counts else [None] * len(block)
    if 0 in counts:
        return None
    first.setdefault("counted" if has_counts else "uncounted", numbers[0])
    return names, labels.column(numbers, latter if has_counts else former), counts, numbers, [None] * len(block)


def _read_lines(list_path: Path, lines: Iterable[Line], labels: _LabelReader, first: dict[str, int]) -> Iterator[Row]:
    for line in lines:
        number, text = line
        name, numbers = _split(text)
        are_long = len(text) - len(name) > _DIGITS
        if not numbers or (are_long and max(map(len, numbers)) > _DIGITS and not all(map(_NUMBER.fullmatch, numbers))):
            raise _malformed(list_path, line, _FORMS)
        count = int(numbers.pop(0)) if len(numbers) > 1 else None
        if count is None:
            first.setdefault("uncounted", number)
        else:
            first.setdefault("counted", number)
            if count < 1:
                _check_count(list_path, number, count)
                first.setdefault("empty", number)
        yield _normal(name), labels.numbers(number, numbers), count, number, None


def _split(text: str) -> tuple[str, list[str]]:
    """Split a line into a path and the numbers after it, separated by commas or else by white space."""
    if "," in text:
        cells = text.split(",")
        start = _first_number([cell.strip() for cell in cells])
        name = ",".join(cells[:start]).strip()
        if start < len(cells) and name and not name.endswith(","):
            return name, [cell.strip() for cell in cells[start:]]
    words = text.split()
    start = _first_number(words)
    if start == 1:
        return words[0], words[1:]
    return text.rsplit(None, len(words) - start)[0], words[start:]


def _first_number(words: list[str]) -> int:
    """Index of the first of the numbers at the end, but at least 1."""
    start = len(words)
    while start > 1 and (words[start - 1].isdecimal() or words[start - 1].removeprefix("-").isdecimal()):
        start -= 1
    return start


def _check_count(list_path: Path, line: int, count: int) -> None:
    if count < 0:
        raise DataError(f"{list_path}:{line}: {count} frames; the frame count must not be negative")


def _warn_of_doubtful_counts(list_path: Path, first: Mapping[str, int]) -> None:
    """Warn about frame counts that may have been meant as labels."""
    if "counted" in first and "uncounted" in first:
        _LOG.warning(
            "%s: line %d has a frame count (the first of several numbers), line %d has none; if these are labels, "
            "use a CSV with the header path,label and separate labels by ;",
            *(list_path, first["counted"], first["uncounted"]),
        )
    if "empty" in first:
        _LOG.warning(
            "%s:%d: a frame count of 0; if this is a label, use a CSV with the header path,label",
            *(list_path, first["empty"]),
        )


def _malformed(list_path: Path, line: Line, expected: str) -> DataError:
    return DataError(f"{list_path}:{line.number}: expected {expected}, found {line.text[:80]!r}")


def _check_agreement(list_path: Path, clips: ClipList) -> None:
    """Reject clips with contradicting labels; warn about repeated lines."""
    candidates = repeated(hashes(map(_spelling, clips.paths()) if clips.names.any_has("..") else clips.paths()))
    first: dict[str, int] = {}
    for index in candidates:
        labels, earlier = clips.labels[index], first.setdefault(_spelling(str(clips.path(index))), index)
        if set(labels) != set(clips.labels[earlier]):
            raise DataError(
                f"{list_path}:{clips.line(index)}: {clips.names[index]} has label {_listed(labels)}, but "
                f"{_listed(clips.labels[earlier])} in line {clips.line(earlier)}; keep one (put several labels of a "
                "clip on one line)"
            )
    if len(candidates) > len(first):
        count = counted(len(candidates) - len(first), "line repeats", "lines repeat")
        _LOG.warning("%s: %s a clip of another line", list_path, count)


def _spelling(path: str) -> str:
    """The same for all spellings of a path."""
    return os.path.normpath(path) if ".." in path else path


def _listed(labels: tuple[int, ...]) -> str:
    return ";".join(map(str, labels)) or "none"
