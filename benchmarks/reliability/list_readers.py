"""Readers of lists, label files and tables."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.reliability.readers import Reader
from benchmarks.reliability.texts import ALIAS_BOMB, TEXTS, with_devices, write_texts


def _list_seeds(folder: Path) -> None:
    spaces = "".join(f"class {i % 3}/clip {i}.mp4 {50 + i} {i % 3}\n" for i in range(60))
    (folder / "spaces.txt").write_text("# a comment\n\n" + spaces)
    (folder / "commas.txt").write_text("".join(f"clips/{i}.mp4, {50 + i}, {i % 3}, {(i + 1) % 3}\n" for i in range(60)))
    (folder / "plain.txt").write_text("".join(f"clips/{i}.mp4 {i % 3}\n" for i in range(60)))


def _hostile_lists(folder: Path) -> None:
    texts: list[str] = [
        *TEXTS,
        "a 1\na 2\n",
        "a 1\n./a 2\n",
        "a 1\na//b 1\n",
        "path\n",
        "path,label\n",
        "a 1 2 3 4 5 6\n",
        "1\n1 2\n",
        " 1\n",
    ]
    texts += [
        "a#t=1,2 1\na#t=9,2 1\n",
        "a" * 65_536 + " 1\n",
        "a\r1\n",
        "a 1\n" * 200_000,
        "".join(f"{i} 0\n" for i in range(100_000)),
    ]
    write_texts(folder, ".txt", tuple(texts))


def _csv_seeds(folder: Path) -> None:
    rows = [f'"a, {i}.mp4",{i + 20},{("walk", "run", "2;0")[i % 3]}' for i in range(40)]
    (folder / "labels.csv").write_text("path,num_frames,label\n" + "\n".join(rows) + "\n")
    rows = [f"long.mp4,{i}.5,{i + 1}:00.5,walk,x" for i in range(40)]
    (folder / "parts.csv").write_text("path,start_time,end_time,label,comment\n" + "\n".join(rows) + "\n")
    (folder / "frames.csv").write_text(
        "label,start_frame,end_frame,path\n" + "".join(f"run,{i},{i + 9},b.mp4\n" for i in range(40))
    )


def _hostile_csvs(folder: Path) -> None:
    texts: list[str] = [
        *TEXTS,
        "path,label\n",
        "path,label,label\na,1,2\n",
        "path\na\n",
        "label,path\n1\n",
        'path,label\n"a\nb",1\n',
        "path,label\n" + "a,1\n" * 100_000,
    ]
    texts += [
        f"path,label\n{cell},1\n"
        for cell in ('"' * 9, "a" * 200_000, '"' + "a" * 140_000 + '"', "\x1b[31m", "", "#x", "\udcff", "a\x85")
    ]
    texts += [
        f"path,label\na,{cell}\n"
        for cell in ("9" * 5000, "-1", "1;" * 50_000, ";", "1;1", "walk;walk", "٣", "²", "1.0", "nan", "walk ")
    ]
    cells = (
        "",
        "9" * 30,
        "-1",
        "1e5",
        "nan",
        "inf",
        "1:2:3:4",
        ":::",
        "9999999:59:59",
        "0",
        "٣",
        "1.",
        ".1",
        "99999999999999999999",
    )
    texts += [
        f"path,label,{a},{b}\nv,1,{x},{y}\n"
        for a, b in (("start", "end"), ("start_frame", "end_frame"), ("start_time", "end_time"))
        for x in cells
        for y in cells
    ]
    texts += [
        "path,label,num_frames\na,1,-5\n",
        "path,label,num_frames\na,1," + "9" * 5000 + "\n",
        "path,label," + ",".join(f"c{i}" for i in range(9000)) + "\n",
    ]
    write_texts(folder, ".csv", tuple(texts))


def read_list_file(path: Path, out: Path) -> None:
    """Read a list of clips, with its labels and without them."""
    from trishift.data.lists import read_list
    from trishift.data.parts import split_part
    from trishift.errors import DataError

    problem = None
    for options in ({"class_names": ("walk", "run", "sit")}, {"has_labels": False}):
        try:
            for record in list(read_list(path, **options))[:200]:
                split_part(record.path)
        except DataError as error:
            problem = error
    if problem:
        raise problem


def _label_seeds(folder: Path) -> None:
    names = ("walk", "run", "sit down", "Zähne putzen", "跑步", "wave, both hands")
    (folder / "plain.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (folder / "numbered.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(names)), encoding="utf-8")
    (folder / "table.csv").write_text(
        "index,name\n" + "".join(f'{i},"{n}"\n' for i, n in enumerate(names)), encoding="utf-8"
    )
    (folder / "columns.tsv").write_text(
        "Klasse\tNummer\tid\n" + "".join(f"{n}\t{i}\tx{i}\n" for i, n in enumerate(names)), encoding="utf-8"
    )
    (folder / "list.json").write_text(json.dumps(names))
    (folder / "map.json").write_text(json.dumps({"classes": {name: i for i, name in enumerate(names)}}))
    (folder / "map.yaml").write_text(
        "names:\n" + "".join(f"  {i}: '{n}'\n" for i, n in enumerate(names)), encoding="utf-8"
    )
    (folder / "list.yaml").write_text("".join(f"- '{n}'\n" for n in names), encoding="utf-8")


def _hostile_labels(folder: Path) -> None:
    texts: list[str] = [
        *TEXTS,
        "a\na\n" * 150_000,
        "".join(f"{i}\n" for i in range(100_000)),
        "a\n" * 300_000,
        "name\n",
        "index,name\n",
        "0 0\n1 1\n",
    ]
    texts += [
        "".join(f"{i} c{i}\n" for i in range(60_000)),
        "x" * 200_000 + ",y\n",
        "a;b\n" * 50_000,
        "id,id\n1,1\n",
        '"a\n',
        "0 a\n2 b\n",
        "٠ a\n١ b\n",
    ]
    write_texts(folder, ".txt", tuple(texts))
    write_texts(folder, ".csv", tuple(texts))
    values = (
        "[]",
        "{}",
        "5",
        "null",
        '"x"',
        "[[]]",
        '["a", "a"]',
        '{"a": 0, "b": 0}',
        '{"names": []}',
        '{"names": {"a": []}}',
        '["a", null]',
        "[1e999, NaN]",
    )
    structured = [
        *TEXTS,
        *values,
        "[" * 5000 + "]" * 5000,
        '{"a":' * 50_000,
        "[" + "9" * 4000 + "]",
        '{"a": ' + "9" * 9000 + "}",
        '["\\ud800"]',
        '["a\\nb", "\\u001b"]',
    ]
    write_texts(folder, ".json", tuple(structured))
    more = (
        ALIAS_BOMB,
        "a: &a [*a]",
        "0x" + "f" * 9000 + ": a\n",
        "- 0x" + "f" * 9000 + "\n",
        "- 2001-99-99\n",
        "? [a]\n: 0\n",
        "- !!binary x\n",
        "[" + "x," * 400_000 + "x]",
    )
    write_texts(folder, ".yaml", (*structured, *more))


def read_label_file(path: Path, out: Path) -> None:
    """Read a label file, and write it back."""
    from trishift.data.lists import read_labels, write_labels

    write_labels(out / "labels.txt", read_labels(path))


def _table_seeds(folder: Path) -> None:
    for name, separator in (("comma", ","), ("semicolon", ";"), ("tab", "\t")):
        (folder / name).mkdir()
        rows = [
            separator.join(("file", "action", "split", "subject")),
            *(
                separator.join((f"{i}.mp4", ("walk", "run")[i % 2], ("train", "val")[i % 3 == 0], f"s{i}"))
                for i in range(20)
            ),
        ]
        (folder / name / "my.csv").write_text("\n".join(rows) + "\n")
        (folder / name / "0.mp4").write_bytes(b"no video")


def _hostile_tables(folder: Path) -> None:
    texts = [
        *TEXTS,
        "file,action\n0.mp4,walk\n",
        "file,action\n0.mp4,\n",
        "a,b\n" * 100_000,
        "file,action,start,end\n0.mp4,walk,1,2\n",
        "file,action\n/etc/passwd,x\n../../x,y\n",
    ]
    texts += [
        f"file,action\n0.mp4,{cell}\n1.mp4,b\n"
        for cell in ("\x1b[31m", "a" * 300, "../x", "/x", ".", "..", "a/b", " a", '"a\nb"', "\udcff")
    ]
    texts += [
        "file,action\n" + "x" * 5000 + ",walk\n",
        '"file,action\n' * 100,
        "file,action,group\n" + "0.mp4,walk,g\n" * 9,
    ]
    for number, text in enumerate(texts):
        (folder / f"{number:03d}").mkdir()
        (folder / f"{number:03d}" / "my.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
        (folder / f"{number:03d}" / "0.mp4").write_bytes(b"no video")


def read_table(path: Path, out: Path) -> None:
    """`trishift prepare list`, with the groups in the same table."""
    from trishift.data.prepare import prepare_list
    from trishift.data.prepare.splitting import group_clips
    from trishift.errors import DataError

    problem = None
    try:
        group_clips(path, [Path("0.mp4"), Path("1.mp4")], "my.csv:subject")
    except DataError as error:
        problem = error
    prepare_list(path / "my.csv", out / "lists", workers=1)
    if problem:
        raise problem


READERS = {
    "list": Reader("list of clips (`.txt`)", _list_seeds, with_devices(_hostile_lists, ".txt"), read_list_file),
    "csv": Reader("list of clips (`.csv`)", _csv_seeds, with_devices(_hostile_csvs, ".csv"), read_list_file),
    "labels": Reader(
        "label file (`.txt`, `.csv`, `.json`, `.yaml`)",
        _label_seeds,
        with_devices(_hostile_labels, ".txt"),
        read_label_file,
    ),
    "table": Reader("table and groups (`prepare list`)", _table_seeds, _hostile_tables, read_table),
}
