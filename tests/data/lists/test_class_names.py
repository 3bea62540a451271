from __future__ import annotations

from pathlib import Path

import pytest

from trishift.data.lists import read_labels, write_labels
from trishift.errors import DataError

NAMES = ("pull", "turn left", "push")


def saved(folder: Path, data: str | bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "pull\nturn left\npush\n"),
        ("labels.txt", "\ufeffpull\r\nturn left\r\npush\r\n"),
        ("labels.txt", "# comment\npull\n\nturn left\npush\n"),
        ("labels.txt", "0 pull\n2 push\n1 turn left\n"),
        ("classInd.txt", "1 pull\n2 turn left\n3 push\n"),
        ("labels.txt", "push 2\npull 0\nturn left 1\n"),
        ("labels.txt", "push 3\npull 1\nturn left 2\n"),
        ("labels.txt", "push\t2\npull\t0\nturn left\t1\n"),
        ("labels.txt", "push,2\npull,0\nturn left,1\n"),
        ("labels.txt", "class_name\npull\nturn left\npush\n"),
        ("labels.csv", "name\npull\nturn left\npush\n"),
        ("labels.csv", "0,pull\n1,turn left\n2,push\n"),
        ("labels.csv", "push,2\npull,0\nturn left,1\n"),
        ("labels.csv", "id,name\n0,pull\n2,push\n1,turn left\n"),
        ("labels.csv", "class,index\npull,0\npush,2\nturn left,1\n"),
        ("labels.csv", "Klasse;Nummer\npull;1\npush;3\nturn left;2\n"),
        ("labels.csv", "ClassId,TR,EN\n0,pull,cek\n1,turn left,sola\n2,push,it\n"),
        ("labels.csv", 'name,description\npull,"to you, slowly"\nturn left,b\npush,c\n'),
        ("labels.tsv", "name\tid\npush\t2\npull\t0\nturn left\t1\n"),
        ("labels.json", '["pull", "turn left", "push"]'),
        ("labels.json", '{"pull": "0", "push": "2", "turn left": "1"}'),
        ("labels.json", '{"0": "pull", "1": "turn left", "2": "push"}'),
        ("labels.json", '{"classes": ["pull", "turn left", "push"]}'),
        ("labels.yaml", "- pull\n- turn left\n- push\n"),
        ("labels.yaml", "names:\n  0: pull\n  1: turn left\n  2: push\n"),
        ("labels.yml", "path: x\nnames: [pull, turn left, push]\n"),
        ("labels.yaml", "pull: 0\nturn left: 1\npush: 2\n"),
        ("labels.txt", "0: pull\n1: turn left\n2: push\n"),
        ("labels.txt", "1. pull\n2. turn left\n3. push\n"),
        ("labels.txt", "1) pull\n2) turn left\n3) push\n"),
        ("labels.txt", "pull = 0\nturn left = 1\npush = 2\n"),
        ("labels.txt", "pull|0\npush|2\nturn left|1\n"),
        ("labels.txt", "id name\n0 pull\n1 turn left\n2 push\n"),
        ("labels.txt", "gesture name\npull\nturn left\npush\n"),
        ("labels.json", '[{"id": 2, "name": "push"}, {"id": 0, "name": "pull"}, {"id": 1, "name": "turn left"}]'),
        (
            "labels.json",
            '{"categories": [{"name": "pull", "id": 1}, {"name": "turn left", "id": 2}, {"name": "push", "id": 3}]}',
        ),
        ("config.json", '{"id2label": {"0": "pull", "1": "turn left", "2": "push"}, "label2id": {"pull": 0}}'),
    ],
)
def test_reads_every_format(tmp_path: Path, name: str, text: str) -> None:
    assert read_labels(saved(tmp_path, text, name)) == NAMES


@pytest.mark.parametrize(
    "names",
    [
        ("3 point shot", "2 point shot"),  # no numbering from 0 or 1
        ("take 1", "take 2"),  # the same name without its number
        ("listen (e.g., to music)", "carry, hold"),
        ("1", "2", "3"),
    ],
)
def test_names_with_numbers_and_commas_are_not_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert read_labels(saved(tmp_path, "\n".join(names), "labels.txt")) == names


def test_yaml_names_are_read_as_written(tmp_path: Path) -> None:
    names = ("yes", "no", "on", "Off", "null", "010", "0x10", "1e3", "2001-01-01")
    for text in ("".join(f"- {name}\n" for name in names), "".join(f"{name}: {i}\n" for i, name in enumerate(names))):
        assert read_labels(saved(tmp_path, text, "labels.yaml")) == names


def test_warning_names_the_first_class_of_a_table_without_a_known_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_labels(saved(tmp_path, "Geste\nziehen\n", "l.csv")) == ("Geste", "ziehen")
    assert "the first line, Geste, is a class" in caplog.text


def test_warning_names_the_chosen_column(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_labels(saved(tmp_path, "ClassId,TR,EN\n0,abla,sister\n1,acele,hurry\n", "l.csv")) == ("abla", "acele")
    assert "class names are those of column TR; ignored: EN" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.txt", "\n", "no class names"),
        ("l.txt", "a\nb\na\n", "'a' appears more than once"),
        ("l.txt", "0 a 1\n1 b 0\n", "l.txt:1: '0 a 1' starts and ends with a possible class number"),
        ("l.txt", b"a\ncaf\xe9\n", "l.txt:2: not UTF-8; convert"),
        ("l.csv", "id,name\n0,a\n2,b\n", "without gaps"),
        ("l.csv", "id,name\n0,a\n0,b\n", "gaps or repeats"),
        ("l.csv", "0,a\n0,b\n1,c\n", "gaps or repeats"),
        ("l.txt", "0,a\n0,b\n1,c\n", "gaps or repeats"),
        ("l.csv", "id,name\n0\n", "l.csv:2: every line needs 2 columns"),
        ("l.csv", "a,b\nwalk,run\n", "l.csv:1: 'a,b' has neither a class number nor a header"),
        ("l.csv", "a,b\nwalk\n", "l.csv:1: 'a,b' has neither a class number nor a header"),
        ("l.csv", "id,index,name\n0,1,a\n1,0,b\n", "columns id and index could both be class numbers"),
        ("l.csv", "0,1\n1,0\n", "both columns could be class numbers"),
        ("l.txt", "0 a\n2 b\n", "l.txt:1: '0 a' has a number, but the numbers of all lines are not 0, 1, ..."),
        ("l.txt", "-1 a\n0 b\n", "l.txt:1: '-1 a' has a number"),
        ("l.txt", "Klasse Nummer\na 0\nb 1\n", "l.txt:1: 'Klasse Nummer' has neither a class number nor a header"),
        ("l.txt", "a\tx\nb\ty\n", "l.txt:1: 'a\\tx' has neither"),
        ("l.pbtxt", 'item {\n id: 1\n name: "a"\n}\n', "l.pbtxt:1: 'item {' has neither"),
        ("l.txt", '["a", "b"]', "has neither"),
        ("l.toml", 'names = ["a", "b"]', "has neither"),
        ("l.json", "{", "not valid JSON"),
        ("l.json", "3", "expected a list of class names"),
        ("l.json", '{"a": "b"}', "non-negative integers"),
        ("l.json", "[" * 100_000, "not valid JSON"),
        ("l.json", '["a", true]', "expected a list of class names"),
        ("l.json", '{"0": "a", "0": "b", "1": "c"}', "key '0' appears twice"),
        ("l.yaml", "0: a\n0: b\n1: c\n", "l.yaml:2: key '0' appears twice"),
        ("l.yaml", "a: [b", "l.yaml:1: not valid YAML"),
        ("l.yaml", "{0: 1, 1: 0}", "both keys and values could be class numbers"),
        ("l.yaml", "a: &a [*a]", "more than 10,000 values"),
    ],
)
def test_rejects_bad_label_files(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_labels(saved(tmp_path, text, name))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [("a", "b"), ("01 wave", "02 clap"), ("#1", "#2"), ("1 a", "2 b"), ("a 0", "b 1"), ("name", "other"), ("0", "1")],
)
def test_written_names_round_trip(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_labels(tmp_path / "labels.txt", names)
    assert read_labels(tmp_path / "labels.txt") == names


def test_warnings_quote_little_of_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_labels(saved(tmp_path, f"{'a' * 9000}\nb\n", "plain.csv"))
    read_labels(saved(tmp_path, f"index,{'a' * 9000},{'b' * 9000}\n0,x,y\n1,z,v\n", "table.csv"))
    assert len(caplog.messages) == 2 and all(len(text) < 1000 for text in caplog.messages)
