"""Lists of clips and of class names, in every format of the originals.

A list has one clip per line; `read_list` finds out which of these formats it is:

* `path frames label` and `path label`, separated by white space (TSN, TSM, TRN, MSN, Paddle); paths may contain spaces
* `path,frames,label[,label...]` and `path,label` (M4; several labels per clip)
* a CSV file with a header that names the columns `path` and `label`, and optionally `num_frames` (or `frames`);
  several labels are separated by `;`, and an empty cell means that none applies

Byte order marks, Windows line ends, blank lines and lines that begin with `#` are fine. Names are read as UTF-8; other
bytes are kept as the file system knows them.
"""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trishift.errors import DataError

_FRAME_COLUMNS = ("num_frames", "frames")
_COMMA_LINE = re.compile(r"(?P<path>.*?[^,\s])\s*(?P<numbers>(?:,\s*-?\d+\s*)+)")
_SPACE_LINE = re.compile(r"(?P<path>.*?\S)(?P<numbers>(?:\s+-?\d+){1,2})")


@dataclass(frozen=True)
class VideoRecord:
    """One clip of a list.

    Attributes:
        path: video file or frame folder, under the list's root.
        labels: class numbers; any number of them in multi-label sets, none in lists without labels.
        num_frames: the list's frame count, None where it has none.
        line: line of the list, from 1.
    """

    path: Path
    labels: tuple[int, ...]
    num_frames: int | None
    line: int


@dataclass(frozen=True)
class _Line:
    number: int
    text: str


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
        num_classes: labels must be smaller; None: not checked.
        class_names: names that a CSV list may use instead of label numbers; also gives `num_classes`.
        has_labels: False: a line is only a path (what to predict); CSV lists then need no label column.

    Raises:
        DataError: the list is missing or empty, or a line is malformed or has a label out of range.
    """
    list_path = Path(list_path)
    root = list_path.parent if root is None else Path(root)
    lines = _content_lines(list_path)
    if not lines:
        raise DataError(f"{list_path}: the list is empty; give one clip per line")
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
    return [VideoRecord(root / r.path, r.labels, r.num_frames, r.line) for r in records]


def _content_lines(path: Path) -> list[_Line]:
    """Lines with content, stripped; comments are left out."""
    lines = enumerate(_read_text(path).split("\n"), 1)
    stripped = (_Line(number, line.strip()) for number, line in lines)
    return [line for line in stripped if line.text and not line.text.startswith("#")]


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    text = data.decode("utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise DataError(f"{path}: is not a text file; give a list with one entry per line")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _header(line: str) -> list[str] | None:
    """The columns, if the line is a CSV header."""
    columns = [column.strip().lower() for column in next(csv.reader([line]))]
    return columns if "path" in columns else None


def _read_csv(
    list_path: Path, header: list[str], lines: list[_Line], class_names: Sequence[str] | None, has_labels: bool
) -> list[VideoRecord]:
    if has_labels and "label" not in header:
        raise DataError(f"{list_path}:{lines[0].number}: the header has no column 'label'; add it")
    numbers = {name: number for number, name in enumerate(class_names or ())}
    records = []
    for line in lines[1:]:
        cells = [cell.strip() for cell in next(csv.reader([line.text]))]
        if len(cells) != len(header):
            raise _malformed(list_path, line, f"{len(header)} columns as in the header")
        row = dict(zip(header, cells, strict=True))
        frames = next((row[column] for column in _FRAME_COLUMNS if row.get(column)), None)
        if frames is not None and not frames.isdecimal():
            raise _malformed(list_path, line, "a whole number of frames")
        texts = row["label"].split(";") if has_labels and row["label"] else []
        labels = tuple(_label(list_path, line, text, numbers) for text in texts)
        records.append(VideoRecord(Path(row["path"]), labels, int(frames) if frames else None, line.number))
    return records


def _label(list_path: Path, line: _Line, text: str, numbers: dict[str, int]) -> int:
    text = text.strip()
    if text in numbers:
        return numbers[text]
    try:
        return int(text)
    except ValueError:
        remedy = "is not in the label file" if numbers else "needs a label file that lists the class names"
        raise DataError(f"{list_path}:{line.number}: label {text!r} is not a number and {remedy}") from None


def _read_lines(list_path: Path, lines: list[_Line]) -> list[VideoRecord]:
    """Lines without a header; whether they have a frame count is decided by all of them together."""
    by_comma = all(_COMMA_LINE.fullmatch(line.text) for line in lines)
    pattern = _COMMA_LINE if by_comma else _SPACE_LINE
    split = [_split(list_path, line, pattern) for line in lines]
    has_frames = all(len(numbers) >= 2 for _, numbers in split)
    records = []
    for line, (path, numbers) in zip(lines, split, strict=True):
        if has_frames:
            records.append(VideoRecord(Path(path), tuple(numbers[1:]), numbers[0], line.number))
        elif by_comma:
            records.append(VideoRecord(Path(path), tuple(numbers), None, line.number))
        else:  # a number before the label belongs to the path
            path = line.text[: line.text.rindex(line.text.split()[-1])].rstrip()
            records.append(VideoRecord(Path(path), (numbers[-1],), None, line.number))
    return records


def _split(list_path: Path, line: _Line, pattern: re.Pattern[str]) -> tuple[str, list[int]]:
    match = pattern.fullmatch(line.text)
    if match is None:
        raise _malformed(list_path, line, "'path frames label', 'path label' or the same with commas")
    return match["path"], [int(number) for number in re.findall(r"-?\d+", match["numbers"])]


def _malformed(list_path: Path, line: _Line, expected: str) -> DataError:
    return DataError(f"{list_path}:{line.number}: expected {expected}, found {line.text[:80]!r}")


def _check(list_path: Path, record: VideoRecord, num_classes: int | None) -> None:
    for label in record.labels:
        if label < 0 or (num_classes is not None and label >= num_classes):
            classes = "" if num_classes is None else f" of the {num_classes} classes"
            raise DataError(f"{list_path}:{record.line}: label {label} is none{classes}; labels are counted from 0")
    if record.num_frames is not None and record.num_frames < 0:
        raise DataError(f"{list_path}:{record.line}: {record.num_frames} frames; the frame count must not be negative")


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Read class names in the order of their labels.

    Formats: one name per line; `number name` per line, from 0 or 1 on; CSV with the columns `id` (or `label`) and
    `name`; a JSON list of names, or a JSON object from names to numbers or from numbers to names.

    Raises:
        DataError: the file is missing or empty, a name or number comes twice, or a number is missing.
    """
    path = Path(path)
    names = _json_names(path) if path.suffix.lower() == ".json" else _text_names(path)
    if not names:
        raise DataError(f"{path}: there are no class names; give one per line")
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise DataError(f"{path}: class {min(twice)!r} comes more than once; class names must differ")
    return tuple(names)


def _json_names(path: Path) -> list[str]:
    try:
        data = json.loads(_read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON ({error}); check the file") from None
    if isinstance(data, list):
        return [str(name) for name in data]
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected a JSON list of class names, or an object of names and numbers")
    pairs = [(str(key), str(value)) for key, value in data.items()]
    if all(value.isdecimal() for _, value in pairs):
        pairs = [(value, key) for key, value in pairs]
    return _numbered_names(path, pairs)


def _text_names(path: Path) -> list[str]:
    lines = [line.text for line in _content_lines(path)]
    if not lines:
        return []
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    header = [cell.lower() for cell in rows[0]]
    number_column = next((header.index(name) for name in ("id", "label", "index") if name in header), None)
    if number_column is not None and "name" in header:
        name_column = header.index("name")
        if any(len(row) != len(header) for row in rows):
            raise DataError(f"{path}: every line needs {len(header)} columns as in the header")
        return _numbered_names(path, [(row[number_column], row[name_column]) for row in rows[1:]])
    for separator in (",", None):
        pairs = [line.split(separator, 1) for line in lines]
        if all(len(pair) == 2 and pair[0].strip().isdecimal() for pair in pairs):
            numbers = sorted(int(pair[0]) for pair in pairs)
            if numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
                return _numbered_names(path, [(pair[0].strip(), pair[1].strip()) for pair in pairs])
    return lines


def _numbered_names(path: Path, pairs: list[tuple[str, str]]) -> list[str]:
    """Names by ascending number; the numbers must be 0, 1, ... or 1, 2, ..."""
    if not all(number.isdecimal() for number, _ in pairs):
        raise DataError(f"{path}: class numbers must be whole numbers from 0 on")
    by_number = {int(number): name for number, name in pairs}
    first = min(by_number, default=0)
    if first > 1 or len(by_number) < len(pairs) or max(by_number, default=0) != first + len(by_number) - 1:
        raise DataError(f"{path}: class numbers must run from 0 or 1 on, without gaps, each once")
    return [by_number[number] for number in sorted(by_number)]


def write_list(path: str | Path, records: Iterable[VideoRecord], root: str | Path | None = None) -> None:
    """Write a list that `read_list` reads back: `path frames label` lines, or a CSV with header for `*.csv`.

    Frame counts are left out unless all records have one. Paths under `root` (None: the folder of the list) are
    written relative to it. The file appears complete or not at all.

    Raises:
        DataError: a record does not fit the format (several labels or none in a plain list, say).
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    relative = [(_relative(record.path, root), record) for record in records]
    has_frames = all(record.num_frames is not None for _, record in relative)
    write = _csv_line if path.suffix.lower() == ".csv" else _plain_line
    lines = [write(name, record, has_frames) for name, record in relative]
    if write is _csv_line:
        lines.insert(0, "path,num_frames,label" if has_frames else "path,label")
    _write_atomically(path, lines, lambda temporary: _check_written(temporary, path, root, relative, has_frames))


def write_labels(path: str | Path, names: Sequence[str]) -> None:
    """Write class names, one per line in the order of their labels. The file appears complete or not at all."""
    path = Path(path)

    def check(temporary: Path) -> None:
        if read_labels(temporary) != tuple(names):
            raise DataError(f"{path}: the class names cannot be written one per line; give them plain, different names")

    _write_atomically(path, list(names), check)


def _relative(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def _plain_line(name: str, record: VideoRecord, has_frames: bool) -> str:
    frames = f" {record.num_frames}" if has_frames else ""
    return f"{name}{frames} {' '.join(map(str, record.labels))}"


def _csv_line(name: str, record: VideoRecord, has_frames: bool) -> str:
    cells = [name, *([str(record.num_frames)] if has_frames else []), ";".join(map(str, record.labels))]
    return ",".join('"' + cell.replace('"', '""') + '"' if re.search(r'[",#\s]', cell) else cell for cell in cells)


def _check_written(
    temporary: Path, path: Path, root: Path, relative: Sequence[tuple[str, VideoRecord]], has_frames: bool
) -> None:
    """Read the list back: some paths and labels do not survive in some formats."""
    expected = [(root / name, r.labels, r.num_frames if has_frames else None) for name, r in relative]
    found = [(r.path, r.labels, r.num_frames) for r in read_list(temporary, root)] if relative else []
    if found != expected:
        raise DataError(f"{path}: these clips do not fit a plain list (labels or spaces in paths); name it *.csv")


def _write_atomically(path: Path, lines: Sequence[str], check: Callable[[Path], None]) -> None:
    """Write beside the target, check what was written, then rename."""
    text = "".join(f"{line}\n" for line in lines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8", errors="surrogateescape"))
            check(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
