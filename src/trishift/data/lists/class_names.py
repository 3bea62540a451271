"""Label files: class names in label order, in every format of the originals.

Formats: one name per line; `number name` or `name number`, also separated by a comma, a tab, or punctuation as in
`0: name`; a table with a header in any order and language, whose numeric column is the index; JSON or YAML lists and
maps. Numbers start at 0 or 1. A header never becomes a class, and ambiguous files are refused.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trishift.data.lists.text import Line, content_lines, csv_rows, read_text, write_lines
from trishift.errors import DataError, shortened
from trishift.io.regular import exists
from trishift.io.wording import counted
from trishift.io.yaml_text import YamlError, parse_yaml_texts

SHIPPED = Path(__file__).parents[1] / "labels"
_LOG = logging.getLogger(__name__)
_INDEX_HEADERS = frozenset({"id", "index", "idx", "number", "label", "label_id", "class_id", "classid", "class_index"})
_NAME_HEADERS = frozenset({"name", "names", "class", "classes", "label", "labels"}) | {
    f"{kind}{space}name"
    for kind in ("class", "label", "action", "gesture", "activity", "category")
    for space in ("", " ", "_")
}
_MAPPINGS = (  # keys under which YAML and JSON files keep their classes
    "names", "classes", "labels", "class_names", "categories", "id2label", "label2id", "class_to_idx",
)  # fmt: skip
_LEADING = re.compile(r"(?P<number>-?\d+)(?:\s*[,:=|)]\s*|\.\s+|\s+)(?P<name>\S.*)")
_TRAILING = re.compile(r"(?P<name>.*?[^\s,:=|])(?:\s*[,:=|]\s*|\s+)(?P<number>-?\d+)")
_STRUCTURED = re.compile(
    r"[\[{\]}].*|- .*|\w+\s*[:=]\s*[\[{].*|.*[\[{:=]|.*\t.*"
)  # a line of JSON, YAML or a table, not a name
Pair = tuple[str, str]  # number, name


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Read class names in the order of their labels; see the module's docstring for the formats.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or ambiguous, a name or number appears twice, or a number is
            missing.

    Example:
        >>> from pathlib import Path
        >>> from trishift.data.lists import read_labels
        >>> _ = Path("labels.csv").write_text("class,index\\nwalk,1\\nsit down,0\\n")
        >>> read_labels("labels.csv")
        ('sit down', 'walk')
    """
    path = Path(path)
    return _parse(path, read_text(path))


def find_labels(name: str | Path, path: Path | None = None) -> Path:
    """A label file on disk or, if there is none, the shipped one of that name, with a notice.

    Args:
        name: a path, or the name of shipped class names: `jester`.
        path: where the file would be on disk; default: `name`.
    """
    path = Path(name) if path is None else path
    shipped = {file.stem: file for file in SHIPPED.glob("*.txt")}.get(str(name).removesuffix(".txt"))
    if shipped is None or exists(path):
        return path
    _LOG.warning("labels %s: %s", name, shipped)
    return shipped


def write_labels(path: str | Path, names: Sequence[str]) -> None:
    """Write class names in the order of their labels: one per line, or a table where plain lines would be misread.

    The file appears complete or not at all.

    Raises:
        DataError: a name is empty, contains a line break, is not UTF-8, or appears twice.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    for text in ("".join(f"{name}\n" for name in names), _table(names)):
        try:
            text.encode()
            survives = _parse(path, text) == tuple(names)
        except (DataError, UnicodeEncodeError):
            survives = False
        if survives:
            write_lines(path, text.splitlines(), lambda _: None)
            return
    raise DataError(
        f"{path}: the class names cannot be written one per line; give them plain, different names in UTF-8"
    )


def _table(names: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("index", "name"), *enumerate(names)])
    return text.getvalue()


def _parse(path: Path, text: str) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        names = _structured_names(path, _parse_json(path, text))
    elif suffix in (".yaml", ".yml"):
        names = _structured_names(path, _parse_yaml(path, text))
    else:
        names = _text_names(path, list(content_lines(path, text.split("\n"))))
    if not names:
        raise DataError(f"{path}: there are no class names; give one per line")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path}: class {min(twice)[:60]!r} appears more than once; class names must differ")
    return tuple(names)


def _parse_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON ({error}); check the file") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A map of JSON, which would keep the last of equal keys and lose the others."""
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"key {twice!r} appears twice")
    return result


def _parse_yaml(path: Path, text: str) -> Any:
    try:
        return parse_yaml_texts(text)
    except YamlError as error:
        where = f":{error.line}" if error.line else ""
        raise DataError(f"{path}{where}: {error.reason}; check the file") from None


def _structured_names(path: Path, data: Any) -> list[str]:
    """Names in a list or a map, possibly nested under a key such as `names`."""
    if isinstance(data, dict):
        data = next((data[key] for key in _MAPPINGS if isinstance(data.get(key), dict | list)), data)
    if isinstance(data, list) and all(map(_is_name, data)):
        return [str(name) for name in data]
    if isinstance(data, list) and all(isinstance(entry, dict) and entry.keys() == data[0].keys() for entry in data):
        rows = [list(map(str, row)) for row in (data[0], *(entry.values() for entry in data))]
        table = [Line(1, " ".join(row)) for row in rows]
        if len(rows[0]) > 1 and (names := _table_names(path, table, rows, is_csv=True)):
            return names
    if not isinstance(data, dict) or not all(map(_is_name, data.values())):
        raise DataError(f"{path}: expected a list of class names, or a map of names and numbers")
    pairs = [(str(key), str(value)) for key, value in data.items()]
    by_key, by_value = (_is_numbering([pair[place] for pair in pairs]) for place in (0, 1))
    if by_key and by_value and [key for key, _ in pairs] != [value for _, value in pairs]:
        raise DataError(f"{path}: both keys and values could be class numbers; give a list of names instead")
    if not by_key and all(value.isdecimal() for _, value in pairs):
        pairs = [(value, key) for key, value in pairs]
    return _numbered_names(path, pairs)


def _is_name(value: Any) -> bool:
    """Whether a value of JSON is a class name or a number."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def _text_names(path: Path, lines: list[Line]) -> list[str]:
    """Names in a text file: a table, numbered lines, or plain names."""
    if not lines:
        return []
    is_csv = path.suffix.lower() in (".csv", ".tsv")
    for delimiter in "\t,;":
        try:
            rows = [[cell.strip() for cell in row] for _, row in csv_rows(path, lines, delimiter)]
        except DataError:
            continue  # names with quotes
        if _is_table(rows):
            names = _table_names(path, lines, rows, is_csv)
            if names is not None:
                return names
    names = _numbered_lines(path, lines)
    if names is not None:
        return names
    if is_csv and any("," in line.text for line in lines):
        raise _unreadable(path, lines[0])
    plain = [line._replace(text=line.text.strip('"')) if is_csv else line for line in lines]
    return _plain_names(path, plain, is_csv)


def _plain_names(path: Path, lines: list[Line], is_csv: bool) -> list[str]:
    """One name per line."""
    structured = next((line for line in lines if _STRUCTURED.fullmatch(line.text)), None)
    if structured:
        raise _unreadable(path, structured)
    names = [line.text for line in lines]
    if len(names) > 1 and names[0].lower() in _NAME_HEADERS:
        return names[1:]
    if is_csv:
        _LOG.warning("%s: has no header that is known, so the first line, %s, is a class", path, shortened(names[0]))
    return names


def _is_table(rows: list[list[str]]) -> bool:
    """Whether the rows form a table; with known header words, shorter rows are reported as errors later."""
    header = [cell.lower() for cell in rows[0]]
    known = len(header) > 1 and bool(_INDEX_HEADERS & {*header}) and bool(_NAME_HEADERS & {*header})
    return known or (len(header) > 1 and all(len(row) == len(header) for row in rows))


def _table_names(path: Path, lines: list[Line], rows: list[list[str]], is_csv: bool) -> list[str] | None:
    """Names in a table; None if it turns out to be a list of names that contain commas."""
    header = [cell.lower() for cell in rows[0]]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            raise DataError(f"{path}:{line.number}: every line needs {counted(len(header), 'column')} as in the header")
    columns = list(zip(*rows, strict=True))
    numbered = [c for c, cells in enumerate(columns) if _is_numbering(cells)]
    if numbered:  # no header
        if len(columns) != 2:
            return None
        if len(numbered) == 2 and columns[0] != columns[1]:
            raise DataError(f"{path}: both columns could be class numbers; add a header such as index,name")
        return _numbered_names(path, [(row[numbered[0]], row[1 - numbered[0]]) for row in rows])
    index = _index_column(path, header, columns)
    texts = [c for c, cells in enumerate(columns) if c != index and not all(cell.isdecimal() for cell in cells[1:])]
    if index is None and not {*header} & _NAME_HEADERS:
        if is_csv:
            raise _unreadable(path, lines[0])
        return None
    if index is not None and not texts and len(columns) == 2:
        texts = [1 - index]  # the names are numbers
    if not texts:
        raise DataError(f"{path}:{lines[0].number}: no column of {', '.join(rows[0])} holds class names")
    named = next((c for c in texts if header[c] in _NAME_HEADERS), texts[0])
    if len(texts) > 1:
        others = ", ".join(rows[0][c] for c in texts if c != named)
        chosen = shortened(rows[0][named])
        _LOG.warning("%s: class names are those of column %s; ignored: %s", path, chosen, shortened(others))
    if index is None:
        return [row[named] for row in rows[1:]]
    content = rows if header[index].isdecimal() else rows[1:]  # a number is no header, so the numbers are wrong
    return _numbered_names(path, [(row[index], row[named]) for row in content])


def _index_column(path: Path, header: list[str], columns: list[tuple[str, ...]]) -> int | None:
    """Find the column of class numbers in a table with a header, by its cells or its name."""
    numbering = [c for c, cells in enumerate(columns) if _is_numbering(cells[1:])]
    called = [c for c in range(len(header)) if header[c] in _INDEX_HEADERS]
    decimal = [c for c in called if all(cell.isdecimal() for cell in columns[c][1:])]
    candidates = [c for c in numbering if c in called] or numbering or decimal
    if len(candidates) > 1:
        names = " and ".join(header[c] for c in candidates)
        raise DataError(f"{path}: columns {names} could both be class numbers; keep one of them")
    return candidates[0] if candidates else None


def _numbered_lines(path: Path, lines: list[Line]) -> list[str] | None:
    """Names of lines that all start, or all end, with a number; None otherwise.

    Raises:
        DataError: both ends could be the numbers, the numbers have gaps, or the first line alone has no number.
    """
    leading, trailing = _cut(lines, _LEADING), _cut(lines, _TRAILING)
    first, last = (cut is not None and _is_numbering([number for number, _ in cut]) for cut in (leading, trailing))
    if first and last:
        raise DataError(
            f"{path}:{lines[0].number}: {lines[0].text[:60]!r} starts and ends with a possible class number; "
            "write a CSV with the header index,name"
        )
    pairs = (leading if first else trailing if last else None) or []
    if pairs and len({name for _, name in pairs}) == len(pairs):
        return _numbered_names(path, pairs)
    for cut in (leading, trailing):  # `take 1`, `take 3`: the names are the whole lines
        if cut and len(cut) > 1 and len({name for _, name in cut}) == len({number for number, _ in cut}) == len(cut):
            raise DataError(
                f"{path}:{lines[0].number}: {lines[0].text[:60]!r} has a number, but the numbers of all lines are not "
                "0, 1, ... or 1, 2, ...; if they are part of the names, write a CSV with the header index,name"
            )
    return _names_under_header(path, lines)


def _cut(lines: list[Line], pattern: re.Pattern[str]) -> list[Pair] | None:
    """Number and name of every line; None if a line has no number in this place."""
    found = [pattern.fullmatch(line.text) for line in lines]
    return [(each["number"], each["name"].strip()) for each in found if each] if all(found) else None


def _names_under_header(path: Path, lines: list[Line]) -> list[str] | None:
    """Names of numbered lines below a header that is separated by spaces; None if there is no such header."""
    below = [_cut(lines[1:], pattern) for pattern in (_LEADING, _TRAILING)] if len(lines) > 2 else []
    if not any(cut and _is_numbering([number for number, _ in cut]) for cut in below):
        return None
    if not {*lines[0].text.lower().split()} <= _INDEX_HEADERS | _NAME_HEADERS:
        raise _unreadable(path, lines[0])
    return _numbered_lines(path, lines[1:])


def _is_numbering(cells: Sequence[str]) -> bool:
    """Whether cells hold 0, 1, ... or 1, 2, ... in any order."""
    if not cells or not all(cell.isdecimal() and len(cell) < 10 for cell in cells):
        return False
    numbers = sorted(int(cell) for cell in cells)
    return numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _numbered_names(path: Path, pairs: list[Pair]) -> list[str]:
    """Sort names by number; the numbers must be 0, 1, ... or 1, 2, ..."""
    if not all(number.isdecimal() for number, _ in pairs):
        raise DataError(f"{path}: class numbers must be non-negative integers")
    if pairs and not _is_numbering([number for number, _ in pairs]):
        raise DataError(f"{path}: class numbers must start at 0 or 1 and be consecutive, without gaps or repeats")
    return [name for _, name in sorted(pairs, key=lambda pair: int(pair[0]))]


def _unreadable(path: Path, line: Line) -> DataError:
    return DataError(
        f"{path}:{line.number}: {line.text[:60]!r} has neither a class number nor a header that names the columns; "
        "write one name per line, or a CSV with the header index,name"
    )
