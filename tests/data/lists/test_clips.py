from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from trishift.data.lists import VideoRecord, read_labels, read_list, write_labels, write_list
from trishift.data.lists import clips as reading
from trishift.data.parts import Part, split_part
from trishift.errors import DataError, OutputError

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
        ("dir_1 163 1 3 5\ndir_2 122 1 2 4\n", [("dir_1", (1, 3, 5), 163), ("dir_2", (1, 2, 4), 122)]),
        ("a.mp4,0,1\nb.mp4,2\n", [("a.mp4", (1,), 0), ("b.mp4", (2,), None)]),
        ("a.mp4,90,3,5,8\nb.mp4,30,1\n", [("a.mp4", (3, 5, 8), 90), ("b.mp4", (1,), 30)]),
        ("a.mp4,3\nb, c.mp4,30,2\n", [("a.mp4", (3,), None), ("b, c.mp4", (2,), 30)]),
        ("path,label\na b.mp4,3\n", [("a b.mp4", (3,), None)]),
        ("label,path,num_frames\n3;4,a.mp4,12\n", [("a.mp4", (3, 4), 12)]),
        ('path,label\n"a,b ""c"".mp4",3\n', [('a,b "c".mp4', (3,), None)]),
        ("\ufeffa 5 1\r\n\r\n# comment\r\nb 6 0\r\n", [("a", (1,), 5), ("b", (0,), 6)]),
        ("\ufeffpath,label\r\na.mp4,1\r\n", [("a.mp4", (1,), None)]),
        ("a\u2028b.mp4 1\n", [("a\u2028b.mp4", (1,), None)]),
    ],
)
def test_reads_every_format(tmp_path: Path, text: str, expected: list[Row]) -> None:
    assert rows(saved(tmp_path, text)) == expected


def test_line_numbers_include_blank_lines_and_comments(tmp_path: Path) -> None:
    path = saved(tmp_path, "# header\n\na 5 1\n\nb 5 0\n")
    assert [record.line for record in read_list(path)] == [3, 5]


def test_root_and_absolute_paths(tmp_path: Path) -> None:
    path = saved(tmp_path, "a 5 1\n/data/b 5 1\n")
    assert [r.path for r in read_list(path, "/videos")] == [Path("/videos/a"), Path("/data/b")]


def test_non_utf8_names_survive(tmp_path: Path) -> None:
    path = saved(tmp_path, b"caf\xe9.mp4 3\n")
    assert os.fsencode(read_list(path)[0].path.name) == b"caf\xe9.mp4"


def test_csv_may_name_classes(tmp_path: Path) -> None:
    path = saved(tmp_path, "path,label,sequence,frames\na.avi,push,s1,9\nb.avi,pull,s2,7\n")
    assert rows(path, class_names=("pull", "push")) == [("a.avi", (1,), 9), ("b.avi", (0,), 7)]


@pytest.mark.parametrize("other", ["", "b.mp4,2\n", "b.mp4,30,2\n", "b.mp4,30,2,4\n"])
@pytest.mark.parametrize("line", ["a.mp4,90,3\n", "a.mp4,3\n", "a.mp4 90 3 5\n", "take 2 5\n"])
def test_meaning_of_a_line_does_not_depend_on_others(tmp_path: Path, line: str, other: str) -> None:
    assert rows(saved(tmp_path, line + other))[0] == rows(saved(tmp_path, line))[0]


def test_numbers_are_class_numbers_even_if_names_are_digits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "a.mp4{0}0\nb.mp4{0}1\nc.mp4{0}2\n"
    plain = rows(saved(tmp_path, text.format(" ")), class_names=("1", "2", "3"))
    assert not caplog.records
    assert rows(saved(tmp_path, "path,label\n" + text.format(","), "list.csv"), class_names=("1", "2", "3")) == plain
    assert "read as class numbers from 0" in caplog.text


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("path,label,sequence,person\na.mp4,1,s,p\n", "ignored columns: sequence, person"),
        ("a.mp4,90,3\nb.mp4,2\n", "line 1 has a frame count (the first of several numbers), line 2 has none"),
        ("a.mp4,0,1\n", ":1: a frame count of 0; if this is a label"),
        ("a 5 1\nb 5 0\na 5 1\n", "1 line repeats a clip"),
    ],
)
def test_ambiguous_lists_cause_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, warning: str
) -> None:
    read_list(saved(tmp_path, text))
    assert warning in caplog.text


@pytest.mark.parametrize(
    ("columns", "cells", "part"),
    [
        ("start_frame,end_frame", ("0,30", "30,60"), (Part(0, 30), Part(30, 60))),
        ("frame_start,frame_end", ("0,30", "5,60"), (Part(0, 30), Part(5, 60))),
        ("start_time,end_time", ("0,1.5", "1.5,00:01:02.25"), (Part(0, 1.5, True), Part(1.5, 62.25, True))),
        ("time_start,time_end", ("10,20", "1:00,2:00"), (Part(10, 20, True), Part(60, 120, True))),
        ("start,end", ("0.0,2.5", "2.5,3.0"), (Part(0, 2.5, True), Part(2.5, 3, True))),
        ("start_frame,end_frame", (",", "30,60"), (None, Part(30, 60))),
        ("startFrame,EndFrame", ("0,30", "30,60"), (Part(0, 30), Part(30, 60))),
        ("from frame,to frame", ("0,30", "30,60"), (Part(0, 30), Part(30, 60))),
        ("start (s),stop (s)", ("0,3", "30,60"), (Part(0, 3, True), Part(30, 60, True))),
        ("clip_start,clip_end", ("0.0,2.5", "2.5,3.0"), (Part(0, 2.5, True), Part(2.5, 3, True))),
        ("onset,offset", ("0.0,2.5", "2.5,3.0"), (Part(0, 2.5, True), Part(2.5, 3, True))),
        ("start_ms,end_ms", ("0,2500", "2500,3000"), (Part(0, 2.5, True), Part(2.5, 3, True))),
        ("start_timestamp,stop_timestamp,start_frame,stop_frame", ("0:01,0:02,25,50", "0:02,0:03,50,75"),
         (Part(25, 50), Part(50, 75))),
    ],
)  # fmt: skip
def test_columns_define_parts_of_a_video(
    tmp_path: Path, columns: str, cells: tuple[str, str], part: tuple[Part | None, Part | None]
) -> None:
    path = saved(tmp_path, f"path,label,{columns}\nlong.mp4,0,{cells[0]}\nlong.mp4,1,{cells[1]}\n", "list.csv")
    assert [record.path.name for record in read_list(path)] == [f"long.mp4{each or ''}" for each in part]


@pytest.mark.parametrize(
    ("text", "file", "part"),
    [
        ("a.mp4#t=12.5,20", "a.mp4", Part(12.5, 20, True)),
        ("a.mp4#t=,20", "a.mp4", Part(0, 20, True)),
        ("a.mp4#t=1:00,0:01:02", "a.mp4", Part(60, 62, True)),
        ("a#b.mp4#frames=0,30", "a#b.mp4", Part(0, 30)),
        ("a.mp4#1", "a.mp4#1", None),
        ("a.mp4", "a.mp4", None),
    ],
)
def test_fragment_names_a_part(text: str, file: str, part: Part | None) -> None:
    assert split_part(text) == (Path(file), part)
    assert part is None or split_part(f"{file}{part}") == (Path(file), part)


def test_rejects_empty_fragment() -> None:
    with pytest.raises(DataError, match="the part from 9 to 3 is empty"):
        split_part("a.mp4#frames=9,3")


def test_part_yields_frame_numbers() -> None:
    assert Part(5, 9).frames(100, None, "a.mp4") == range(5, 9)
    assert Part(0.5, 1, seconds=True).frames(100, 30.0, "a.mp4") == range(15, 30)
    assert Part(90, 120).frames(100, None, "a.mp4") == range(90, 100)
    with pytest.raises(DataError, match=r"a\.mp4: the part #frames=100,120 lies outside the video of 100 frames"):
        Part(100, 120).frames(100, None, "a.mp4")
    with pytest.raises(DataError, match="the frame rate is unknown"):
        Part(0, 1, seconds=True).frames(100, None, "frames")


def test_reads_lists_without_labels(tmp_path: Path) -> None:
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
        ("a 5 1\nb 5 9\n", "list.txt:2: label 9 is out of range: there are 5 classes"),
        ("a 5 -1\n", "list.txt:1: label -1"),
        ("a -5 1\n", "list.txt:1: -5 frames"),
        ("path,label\na\n", "list.txt:2: expected 2 columns"),
        ("path,label\na,push\n", "list.txt:2: label 'push' is not a number"),
        ("path,label,frames\na,1,many\n", "list.txt:2: expected a whole number"),
        ("path,label,label\na,1,2\n", "list.txt:1: the header has two columns 'label'"),
        ('path,label\n"a,1\nb",2\n', "list.txt:2: a quoted cell spans several lines"),
        ("a 5 1\na 5 2\n", "list.txt:2: a has label 2, but 1 in line 1"),
        ("a 5 1\nx/../a 5 2\n", "list.txt:2: x/../a has label 2, but 1 in line 1"),
        ("path,label\na,1;2\nb,1\na,1\n", "list.txt:4: a has label 1, but 1;2 in line 2"),
        ("a 5 " + "9" * 5000 + "\n", "list.txt:1: expected"),
        ("a" * 200_000 + " 1\n", "list.txt:1: 200,002 characters in one line"),
        ("path,label,start_frame\na,1,5\n", "list.txt:2: column 'start_frame' is one end of a part"),
        ("path,label,start_frame,end_frame\na,1,5,5\n", "list.txt:2: the part from 5 to 5 is empty"),
        ("path,label,start_frame,end_frame\na,1,x,9\n", "list.txt:2: 'x' is not a frame number"),
        ("path,label,start_time,end_time\na,1,0,soon\n", "list.txt:2: 'soon' is not a time"),
        ("path;label\na;1\n", "list.txt:1: separate the columns of a list by commas, or make lists from any table"),
        ("Label\tPath\n1\ta\n", "list.txt:1: separate the columns of a list by commas"),
        ("path,label,from,to\na,1,0,9\n", "list.txt:2: start, end could be frames or seconds"),
        ("path,label,start,end\na,1,0,9\n", "list.txt:2: start, end could be frames or seconds"),
        ("path,class\na,1\n", "list.txt:1: the header has no column 'label'"),
        (b"a\0b 1\n", "list.txt:1: is not a text file"),
        ("path,label\n,1\n", "list.txt:2: expected a path"),
        ("a" + " 1" * 30_000 + " x\n", "list.txt:1: expected"),  # in linear time,
    ],
)
def test_rejects_bad_lists_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_list(saved(tmp_path, text), num_classes=5)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_million_clips_take_little_memory(tmp_path: Path) -> None:
    path = saved(tmp_path, "".join(f"videos/class {i % 9}/clip_{i:07d}.mp4 90 {i % 9}\n" for i in range(20_000)))
    tracemalloc.start()
    clips = read_list(path)
    size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(clips) < 100 and peak / len(clips) < 150
    assert (
        clips[12_345]
        == clips[12_000:][345]
        == VideoRecord(tmp_path / "videos/class 6/clip_0012345.mp4", (6,), 90, 12_346)
    )


@pytest.mark.parametrize(
    "odd", ["", "a b/c.mp4 9 1", "./d.mp4 9 1", "e/ 9 1", "f,1", "g.mp4 0 1", "h.mp4 1 2 3", "# i 1", "j 1"]
)
def test_simple_lines_are_read_like_others(tmp_path: Path, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    simple = [f"videos/{i:04}.mp4 {i % 50 + 1} {i % 9}" for i in range(100)]
    path = saved(tmp_path, "\n".join([*simple[:70], odd, *simple[70:]]))
    monkeypatch.setattr(reading, "_BLOCK", 8)
    found = list(read_list(path))
    monkeypatch.setattr(reading, "_simple_columns", lambda *_: None)
    assert found == list(read_list(path))


def test_equal_paths_are_one_clip(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a/b has label 2, but 1 in line 1"):
        read_list(saved(tmp_path, "a/b 1\n./a//b 2\n"))


@pytest.mark.parametrize("read", [read_list, read_labels])
def test_refuses_devices(read: Callable[[Path], object]) -> None:
    with pytest.raises(DataError, match="a pipe or device, not a file"):
        read(Path("/dev/zero"))


def test_rejects_missing_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_list(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["new/list.txt", "list.csv"])
@pytest.mark.parametrize("num_frames", [7, None])
def test_written_lists_round_trip(tmp_path: Path, name: str, num_frames: int | None) -> None:
    root = (tmp_path / name).parent
    records = [VideoRecord(root / "a b" / f"{i}.mp4", (i,), num_frames, i) for i in range(3)]
    write_list(tmp_path / name, records)
    expected = [(r.path, r.labels, r.num_frames) for r in records]
    assert [(r.path, r.labels, r.num_frames) for r in read_list(tmp_path / name)] == expected
    assert [p.name for p in root.iterdir()] == [Path(name).name]


def test_csv_list_holds_any_record(tmp_path: Path) -> None:
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


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.txt", ["a", "b"])
    with pytest.raises(DataError):
        write_labels(tmp_path / "labels.txt", ["a", "b\nc"])
    assert read_labels(tmp_path / "labels.txt") == ("a", "b")
    assert len(list(tmp_path.iterdir())) == 1


def test_rejects_unwritable_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_labels(tmp_path / "file" / "labels.txt", ["a", "b"])
