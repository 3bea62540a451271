from __future__ import annotations

import os
from pathlib import Path

import pytest

from trishift.data.lists import VideoRecord, read_labels, read_list, write_labels, write_list
from trishift.errors import DataError

Row = tuple[str, tuple[int, ...], int | None]


def rows(path: Path, **options: object) -> list[Row]:
    """Path relative to the list, labels, frame count."""
    records = read_list(path, **options)  # type: ignore[arg-type]
    return [(r.path.relative_to(path.parent).as_posix(), r.labels, r.num_frames) for r in records]


def saved(tmp_path: Path, data: str | bytes, name: str = "list.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b 120 3\nc 7 0\n", [("a/b", (3,), 120), ("c", (0,), 7)]),
        ("a/b.mp4 3\nc.mp4 0\n", [("a/b.mp4", (3,), None), ("c.mp4", (0,), None)]),
        ("a\t120\t3\n", [("a", (3,), 120)]),
        ("my clip 12 5\nother 9 1", [("my clip", (5,), 12), ("other", (1,), 9)]),
        ("my clip.mp4 5\nother take 2.mp4 1", [("my clip.mp4", (5,), None), ("other take 2.mp4", (1,), None)]),
        ("take 2 5\nother 1", [("take 2", (5,), None), ("other", (1,), None)]),
        ("a.mp4,90,3,5,8\nb.mp4,30,1\n", [("a.mp4", (3, 5, 8), 90), ("b.mp4", (1,), 30)]),
        ("a.mp4,3\nb, c.mp4,1,2\n", [("a.mp4", (3,), None), ("b, c.mp4", (1, 2), None)]),
        ("path,label\na b.mp4,3\n", [("a b.mp4", (3,), None)]),
        ("label,path,num_frames\n3;4,a.mp4,12\n", [("a.mp4", (3, 4), 12)]),
        ('path,label\n"a,b ""c"".mp4",3\n', [('a,b "c".mp4', (3,), None)]),
        ("\ufeffa 5 1\r\n\r\n# comment\r\nb 6 0\r\n", [("a", (1,), 5), ("b", (0,), 6)]),
        ("\ufeffpath,label\r\na.mp4,1\r\n", [("a.mp4", (1,), None)]),
        ("a\u2028b.mp4 1\n", [("a\u2028b.mp4", (1,), None)]),
    ],
)
def test_every_format_is_recognized(tmp_path: Path, text: str, expected: list[Row]) -> None:
    assert rows(saved(tmp_path, text)) == expected


def test_line_numbers_count_every_line(tmp_path: Path) -> None:
    path = saved(tmp_path, "# header\n\na 5 1\n\nb 5 0\n")
    assert [record.line for record in read_list(path)] == [3, 5]


def test_root_and_absolute_paths(tmp_path: Path) -> None:
    path = saved(tmp_path, "a 5 1\n/data/b 5 1\n")
    assert [r.path for r in read_list(path, "/videos")] == [Path("/videos/a"), Path("/data/b")]


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    path = saved(tmp_path, b"caf\xe9.mp4 3\n")
    assert os.fsencode(read_list(path)[0].path.name) == b"caf\xe9.mp4"


def test_class_names_in_a_csv(tmp_path: Path) -> None:
    path = saved(tmp_path, "path,label,sequence,frames\na.avi,push,s1,9\nb.avi,pull,s2,7\n")
    assert rows(path, class_names=("pull", "push")) == [("a.avi", (1,), 9), ("b.avi", (0,), 7)]


def test_lists_without_labels(tmp_path: Path) -> None:
    path = saved(tmp_path, "a b 3.mp4\nc.mp4\n")
    assert rows(path, has_labels=False) == [("a b 3.mp4", (), None), ("c.mp4", (), None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.txt: the list is empty"),
        ("# nothing\n\n", "list.txt: the list is empty"),
        ("path,label\n", "list.txt: the list has a header but no clips"),
        ("a 5 1\nb\n", "list.txt:2: expected"),
        ("a 5 one\n", "list.txt:1: expected"),
        ("a 5 1\nb 5 9\n", "list.txt:2: label 9 is none of the 5 classes"),
        ("a 5 -1\n", "list.txt:1: label -1"),
        ("a -5 1\n", "list.txt:1: -5 frames"),
        ("path,label\na\n", "list.txt:2: expected 2 columns"),
        ("path,label\na,push\n", "list.txt:2: label 'push' is not a number"),
        ("path,label,frames\na,1,many\n", "list.txt:2: expected a whole number"),
        ("path,class\na,1\n", "list.txt:1: the header has no column 'label'"),
        (b"a\0b 1\n", "list.txt: is not a text file"),
    ],
)
def test_bad_lists_are_one_line_errors(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_list(saved(tmp_path, text), num_classes=5)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_list(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "pull\nturn left\npush\n"),
        ("labels.txt", "\ufeffpull\r\nturn left\r\npush\r\n"),
        ("labels.txt", "0 pull\n2 push\n1 turn left\n"),
        ("classInd.txt", "1 pull\n2 turn left\n3 push\n"),
        ("labels.csv", "0,pull\n1,turn left\n2,push\n"),
        ("labels.csv", "id,name\n0,pull\n2,push\n1,turn left\n"),
        ("labels.json", '["pull", "turn left", "push"]'),
        ("labels.json", '{"pull": "0", "push": "2", "turn left": "1"}'),
        ("labels.json", '{"0": "pull", "1": "turn left", "2": "push"}'),
    ],
)
def test_label_files(tmp_path: Path, name: str, text: str) -> None:
    assert read_labels(saved(tmp_path, text, name)) == ("pull", "turn left", "push")


def test_names_that_begin_with_numbers_stay_whole(tmp_path: Path) -> None:
    assert read_labels(saved(tmp_path, "3 point shot\n2 point shot\n")) == ("3 point shot", "2 point shot")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.txt", "\n", "no class names"),
        ("l.txt", "a\nb\na\n", "'a' comes more than once"),
        ("l.csv", "id,name\n0,a\n2,b\n", "without gaps"),
        ("l.csv", "id,name\n0,a\n0,b\n", "each once"),
        ("l.csv", "id,name\n0\n", "2 columns"),
        ("l.json", "{", "not valid JSON"),
        ("l.json", "3", "expected a JSON list"),
        ("l.json", '{"a": "b"}', "whole numbers"),
    ],
)
def test_bad_label_files_are_errors(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_labels(saved(tmp_path, text, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["new/list.txt", "list.csv"])
@pytest.mark.parametrize("num_frames", [7, None])
def test_written_lists_are_read_back(tmp_path: Path, name: str, num_frames: int | None) -> None:
    root = (tmp_path / name).parent
    records = [VideoRecord(root / "a b" / f"{i}.mp4", (i,), num_frames, i) for i in range(3)]
    write_list(tmp_path / name, records)
    expected = [(r.path, r.labels, r.num_frames) for r in records]
    assert [(r.path, r.labels, r.num_frames) for r in read_list(tmp_path / name)] == expected
    assert [p.name for p in root.iterdir()] == [Path(name).name]


def test_a_csv_list_takes_what_a_plain_list_cannot(tmp_path: Path) -> None:
    records = [
        VideoRecord(Path("/videos/take 2"), (3, 4), None, 1),
        VideoRecord(Path('/videos/#1, "best"'), (0,), None, 2),
    ]
    write_list(tmp_path / "list.csv", records)
    assert [(r.path, r.labels) for r in read_list(tmp_path / "list.csv")] == [(r.path, r.labels) for r in records]
    for record in (records[0], VideoRecord(Path("/videos/take 2"), (3,), None, 1)):
        with pytest.raises(DataError, match=r"name it \*\.csv"):
            write_list(tmp_path / "list.txt", [record])
    assert not (tmp_path / "list.txt").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.txt", ["a", "b"])
    with pytest.raises(DataError):
        write_labels(tmp_path / "labels.txt", ["a", "b\nc"])
    assert read_labels(tmp_path / "labels.txt") == ("a", "b")
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unwritable_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_labels(tmp_path / "file" / "labels.txt", ["a", "b"])
