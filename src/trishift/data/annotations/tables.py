"""Tables with one annotation per line: your own, Charades, EPIC-KITCHENS, and BORIS's aggregated events."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.records import Annotations
from trishift.data.lists.text import read_text
from trishift.data.parts import PART_COLUMNS, bare_seconds, part_names, read_bounds
from trishift.data.split_names import split_of
from trishift.errors import DataError

VIDEO_COLUMNS = (
    *("path", "video", "video_path", "video_name", "video_id", "videoid", "file", "filename", "file_name", "filepath"),
    *("file_path", "clip", "clip_path", "media_file", "media_file_name", "name", "id"),
)
LABEL_COLUMNS = (
    *("label", "labels", "class", "class_name", "label_name", "action", "activity", "gesture", "category", "behavior"),
    *("event", "target", "tag"),
)
_SPLIT_COLUMNS = ("split", "subset", "set", "partition")
VERB = "verb"

# Your own tables


def recognizes_table(file: AnnotationFile) -> bool:
    """Whether a file is a table with columns of videos, times and labels."""
    names = _names(file)
    columns = (_column(names, VIDEO_COLUMNS), _column(names, LABEL_COLUMNS))
    return None not in columns and not PART_COLUMNS.isdisjoint(names)


def read_table(file: AnnotationFile, into: Annotations) -> None:
    """Add the annotations; several labels are separated by `;`."""
    names = _names(file)
    video, label, split = (_column(names, each) for each in (VIDEO_COLUMNS, LABEL_COLUMNS, _SPLIT_COLUMNS))
    if video is None or label is None or PART_COLUMNS.isdisjoint(names):
        raise DataError(f"{file.path}: needs columns of videos, labels and times, such as video,start,end,label")
    rows = [(line, list(row.values())) for line, row in _complete_rows(file)]
    in_seconds = bare_seconds(names, (cells for _, cells in rows))
    for line, cells in rows:
        into.place = f"{file.path}:{line}"
        bounds = read_bounds(dict(zip(names, cells, strict=True)), into.place, in_seconds)
        if bounds is None:
            into.skip("lines without times")
            continue
        of_line = None if split is None else split_of(cells[split])
        for each in cells[label].split(";"):
            into.add(cells[video], (bounds.start, bounds.end), each, seconds=bounds.seconds, split=of_line)


def _names(file: AnnotationFile) -> list[str]:
    return [name if name in PART_COLUMNS else _key(name) for name in part_names(file.header)]


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _column(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The first of the columns with one of the names, in the order of the names."""
    return next((names.index(name) for name in wanted if name in names), None)


def _complete_rows(file: AnnotationFile) -> Iterator[tuple[int, dict[str, str]]]:
    repeated = [name for name, count in Counter(map(str.strip, file.header)).items() if count > 1]
    if repeated:
        raise DataError(f"{file.path}: the header has two columns {repeated[0][:60]!r}; rename one")
    return file.rows()


# Charades


def recognizes_charades(file: AnnotationFile) -> bool:
    """Whether a file is Charades_v1_train.csv or _test.csv."""
    return {"id", "actions", "length"} <= {*file.header}


def read_charades(file: AnnotationFile, into: Annotations) -> None:
    """Add the actions `c092 11.90 21.20;c147 0.00 12.60`, with names from the file of classes beside the table."""
    classes = _charades_classes(file.path.parent)
    if not classes:
        into.notes.append(f"{file.path}: no Charades_v1_classes.txt beside it, so classes keep their codes (c000, ...)")
    split = _split_in_name(file.path)
    for line, row in file.rows():
        into.place = f"{file.path}:{line}"
        into.set_duration(row["id"], row["length"])
        for action in filter(None, row["actions"].split(";")):
            code, start, end = action.split()
            if classes and code not in classes:
                into.skip("classes that Charades_v1_classes.txt does not have", f" ({code})")
                continue
            into.add(row["id"], (float(start), float(end)), classes.get(code, code), split=split)


def _charades_classes(folder: Path) -> dict[str, str]:
    """Code to name, of lines `c000 Holding some clothes`."""
    files = sorted(folder.glob("Charades*_classes.txt"))
    lines = read_text(files[0]).split("\n") if files else []
    pairs = (line.strip().partition(" ") for line in lines)
    return {code: name.strip() for code, _, name in pairs if name}


def _split_in_name(path: Path) -> str | None:
    """Training or validation, by a file's name; what others call a test list is our validation."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    split = next((split for split in map(split_of, words) if split), None)
    return "val" if split == "test" else split


# EPIC-KITCHENS


def recognizes_epic(file: AnnotationFile) -> bool:
    """Whether a file is EPIC_100_train.csv or the like, also of the first version."""
    return {"video_id", "start_timestamp", "stop_timestamp"} <= {*file.header} and (
        not {"narration_id", "uid"}.isdisjoint(file.header)
    )


def read_epic(file: AnnotationFile, into: Annotations) -> None:
    """Add the actions with the tiers `verb`, `noun` and `action` (both)."""
    if not {"verb_class", "noun_class"} <= {*file.header}:
        raise DataError(f"{file.path}: has no verb_class and noun_class; the test set has no labels, use the others")
    rows = list(file.rows())
    names = {kind: _epic_names(file.path.parent, kind, [row for _, row in rows], into) for kind in (VERB, "noun")}
    split = _split_in_name(file.path)
    for line, row in rows:
        into.place = f"{file.path}:{line}"
        times = {"start_time": row["start_timestamp"], "end_time": row["stop_timestamp"]}
        bounds = read_bounds(times, into.place)
        if bounds is None:
            into.skip("lines without times")
            continue
        verb, noun = (names[kind].get(row[f"{kind}_class"], "") for kind in (VERB, "noun"))
        if not (verb and noun):
            into.skip("classes that the EPIC-KITCHENS tables of classes do not have")
            continue
        for tier, label in ((VERB, verb), ("noun", noun), ("action", f"{verb} {noun}")):
            into.add(row["video_id"], (bounds.start, bounds.end), label, tier=tier, split=split)


def _epic_names(folder: Path, kind: str, rows: Sequence[Mapping[str, str]], into: Annotations) -> dict[str, str]:
    """Class number to name: from the table of classes beside the annotations, else the most frequent word."""
    for path in sorted(folder.glob(f"EPIC*{kind}_classes*.csv")):
        table = AnnotationFile(path)
        key = "key" if "key" in table.header else "class_key"
        number = "id" if "id" in table.header else f"{kind}_id"
        return {row[number]: row[key] for _, row in table.rows()}
    words: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        words[row[f"{kind}_class"]][row[kind]] += 1
    into.notes.append(
        f"{into.place}: no table of {kind} classes (EPIC_100_{kind}_classes.csv) beside it, so each class has the name "
        "of its most frequent word"
    )
    return {number: min(count, key=lambda word: (-count[word], word)) for number, count in words.items()}


# BORIS


def recognizes_boris(file: AnnotationFile) -> bool:
    """Whether a file has the columns of BORIS's events."""
    names = _boris_names(file)
    return {"behavior", "observation_id"} <= names.keys() or {"behavior", "media_file_path", "status"} <= names.keys()


def read_boris(file: AnnotationFile, into: Annotations) -> None:
    """Add the state events of an export of aggregated events."""
    names = _boris_names(file)
    start, stop = (
        next((names[name] for name in (f"{edge}_s", edge) if name in names), "") for edge in ("start", "stop")
    )
    media = next(
        (names[name] for name in ("media_file_name", "media_file", "media_file_s", "source") if name in names), ""
    )
    if not (start and stop and media):
        raise DataError(f"{file.path}: events with their starts and stops in several rows; export 'aggregated events'")
    for line, row in _complete_rows(file):
        into.place = f"{file.path}:{line}"
        if row.get(names.get("behavior_type", ""), "").upper() == "POINT":
            into.skip("BORIS point events, which have no length")
            continue
        video = re.sub(r"^player ?#\d+:", "", row[media], flags=re.IGNORECASE)
        into.add(video, (float(row[start]), float(row[stop])), row[names["behavior"]])


def _boris_names(file: AnnotationFile) -> dict[str, str]:
    """Column by its simplified name: `start_s` to `Start (s)`."""
    return {_key(name): name.strip() for name in file.header}
