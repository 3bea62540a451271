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

import csv
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trishift.data.lists.text import Line, content_lines, read_text, write_lines
from trishift.data.parts import PART_COLUMNS, read_part
from trishift.errors import DataError
from trishift.io.wording import counted

_LOG = logging.getLogger(__name__)
_FRAME_COLUMNS = ("num_frames", "frames")
_COMMA_LINE = re.compile(r"(?P<path>.*?[^,\s])\s*(?P<numbers>(?:,\s*-?\d+\s*)+)")
_SPACE_LINE = re.compile(r"(?P<path>.*?\S)(?P<numbers>(?:\s+-?\d+)+)")
_MAX_LINE = 2**16  # characters; paths are limited to 4,096
_NUMBER = re.compile(r"-?\d{1,9}")


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One clip of a list.

    Attributes:
        path: video file or frame folder, including the list's root; may name a part of it, see `parts`.
        labels: class numbers; any number of them in multi-label sets, empty in lists without labels.
        num_frames: frame count according to the list; None if missing.
        line: line number in the list, from 1.
        group: clips of one group (a person, a recording) stay together in a split; None: each video is a group.
    """

    path: Path
    labels: tuple[int, ...]
    num_frames: int | None
    line: int
    group: str | None = None


def read_list(
    list_path: str | Path,
    root: str | Path | None = None,
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    has_labels: bool = True,
) -> list[VideoRecord]:
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
    root = list_path.parent if root is None else Path(root)
    lines = content_lines(read_text(list_path))
    if not lines:
        raise DataError(f"{list_path}: the list is empty; give one clip per line")
    for line in lines:
        if len(line.text) > _MAX_LINE:
            raise DataError(f"{list_path}:{line.number}: {len(line.text):,} characters in one line; is this a list?")
    if num_classes is None and class_names is not None:
        num_classes = len(class_names)
    if header := _header(lines[0].text):
        records = _read_csv(list_path, header, lines, class_names, has_labels)
    elif has_labels:
        records = _read_lines(list_path, lines)
    else:
        records = [VideoRecord(Path(line.text), (), None, line.number) for line in lines]
    if not records:
        raise DataError(f"{list_path}: the list has a header but no clips; give one clip per line")
    for record in records:
        _check(list_path, record, num_classes)
    if has_labels:
        _check_agreement(list_path, records)
    return [replace(record, path=root / record.path) for record in records]


def _header(line: str) -> list[str] | None:
    """The column names if the line is a CSV header, else None."""
    columns = [column.strip().lower() for column in next(csv.reader([line]))]
    return columns if "path" in columns else None


# CSV with a header


def _read_csv(
    list_path: Path, header: list[str], lines: list[Line], class_names: Sequence[str] | None, has_labels: bool
) -> list[VideoRecord]:
    if has_labels and "label" not in header:
        raise DataError(f"{list_path}:{lines[0].number}: the header has no column 'label'; add it")
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise DataError(f"{list_path}:{lines[0].number}: the header has two columns {repeated[0]!r}; rename one")
    ignored = [name for name in header if name not in ("path", "label", "group", *_FRAME_COLUMNS, *PART_COLUMNS)]
    if ignored:
        _LOG.warning("%s: ignored columns: %s", list_path, ", ".join(ignored))
    read_label = _label_reader(list_path, class_names)
    records = []
    table = list(csv.reader(line.text for line in lines[1:]))
    if len(table) != len(lines) - 1:
        raise DataError(f"{list_path}: a quoted cell spans several lines; keep each clip on one line")
    for line, cells in zip(lines[1:], table, strict=True):
        if len(cells) != len(header):
            raise _malformed(list_path, line, f"{counted(len(header), 'column')} as in the header")
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        frames = next((row[column] for column in _FRAME_COLUMNS if row.get(column)), None)
        if frames is not None and not (frames.isdecimal() and _NUMBER.fullmatch(frames)):
            raise _malformed(list_path, line, "a whole number of frames")
        texts = row["label"].split(";") if has_labels and row["label"] else []
        labels = tuple(read_label(line, text.strip()) for text in texts)
        part = read_part(row, f"{list_path}:{line.number}")
        path = Path(f"{row['path']}{part or ''}")
        group = row.get("group") or None
        records.append(VideoRecord(path, labels, int(frames) if frames else None, line.number, group))
    return records


def _label_reader(list_path: Path, class_names: Sequence[str] | None) -> Callable[[Line, str], int]:
    """Create a reader of CSV labels: numbers are class numbers, everything else is a class name."""
    numbers = {name: number for number, name in enumerate(class_names or ())}
    if any(_NUMBER.fullmatch(name) for name in numbers):
        _LOG.warning("%s: labels are read as class numbers from 0, although some class names are numbers", list_path)

    def read(line: Line, text: str) -> int:
        if _NUMBER.fullmatch(text):
            return int(text)
        if text in numbers:
            return numbers[text]
        remedy = "is not in the label file" if numbers else "needs a label file that lists the class names"
        raise DataError(f"{list_path}:{line.number}: label {text[:60]!r} is not a number and {remedy}")

    return read


# Lines without a header


def _read_lines(list_path: Path, lines: list[Line]) -> list[VideoRecord]:
    records, counted, uncounted = [], None, None
    for line in lines:
        match = _COMMA_LINE.fullmatch(line.text) or _SPACE_LINE.fullmatch(line.text)
        numbers = match["numbers"].replace(",", " ").split() if match else []
        if match is None or not all(_NUMBER.fullmatch(number) for number in numbers):
            raise _malformed(list_path, line, "'path frames label', 'path label' or the same with commas")
        *frames, first = numbers[:2] if len(numbers) > 1 else numbers
        labels = (first, *numbers[2:])
        counted, uncounted = (counted or line, uncounted) if frames else (counted, uncounted or line)
        count = int(frames[0]) if frames else None
        records.append(VideoRecord(Path(match["path"]), tuple(map(int, labels)), count, line.number))
    _warn_of_doubtful_counts(list_path, records, counted, uncounted)
    return records


def _warn_of_doubtful_counts(
    list_path: Path, records: list[VideoRecord], counted: Line | None, uncounted: Line | None
) -> None:
    """Warn about frame counts that may have been meant as labels."""
    if counted and uncounted:
        _LOG.warning(
            "%s: line %d has a frame count (the first of several numbers), line %d has none; if these are labels, "
            "use a CSV with the header path,label and separate labels by ;",
            *(list_path, counted.number, uncounted.number),
        )
    empty = next((record for record in records if record.num_frames == 0), None)
    if empty:
        _LOG.warning(
            "%s:%d: a frame count of 0; if this is a label, use a CSV with the header path,label", list_path, empty.line
        )


def _malformed(list_path: Path, line: Line, expected: str) -> DataError:
    return DataError(f"{list_path}:{line.number}: expected {expected}, found {line.text[:80]!r}")


# Checks


def _check(list_path: Path, record: VideoRecord, num_classes: int | None) -> None:
    for label in record.labels:
        if label < 0:
            raise DataError(f"{list_path}:{record.line}: label {label} is negative; classes are numbered from 0")
        if num_classes is not None and label >= num_classes:
            raise DataError(
                f"{list_path}:{record.line}: label {label} is out of range: there "
                f"{'is' if num_classes == 1 else 'are'} {counted(num_classes, 'class')}, numbered from 0"
            )
    if record.num_frames is not None and record.num_frames < 0:
        raise DataError(f"{list_path}:{record.line}: {record.num_frames} frames; the frame count must not be negative")


def _check_agreement(list_path: Path, records: list[VideoRecord]) -> None:
    """Reject clips with contradicting labels; warn about repeated lines."""
    seen: dict[Path, VideoRecord] = {}
    repeated = 0
    for record in records:
        earlier = seen.setdefault(record.path, record)
        if earlier is record:
            continue
        if set(earlier.labels) != set(record.labels):
            raise DataError(
                f"{list_path}:{record.line}: {record.path} has label {_listed(record)}, but {_listed(earlier)} in line "
                f"{earlier.line}; keep one (put several labels of a clip on one line)"
            )
        repeated += 1
    if repeated:
        _LOG.warning("%s: %s a clip of another line", list_path, counted(repeated, "line repeats", "lines repeat"))


def _listed(record: VideoRecord) -> str:
    return ";".join(map(str, record.labels)) or "none"


# Writing


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
    return [",".join(map(_quoted, row)) for row in rows]


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
