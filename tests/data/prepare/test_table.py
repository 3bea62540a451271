"""Lists from the one table most people have: any delimiter, header and order of columns."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.lists import listed

from trishift.cli import main
from trishift.data.lists import read_labels, read_list
from trishift.data.prepare import prepare_list
from trishift.errors import DataError

Writer = Callable[..., Path]
CLASSES = ("clap", "wave")


@pytest.fixture
def clips(tmp_path: Path, write_noise: Writer) -> Path:
    """Clips 0.mp4 to 5.mp4 in one folder; even ones clap."""
    for number in range(6):
        write_noise(tmp_path / "clips" / f"{number}.mp4", number)
    return tmp_path / "clips"


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _labels(out: Path, root: Path) -> dict[str, str]:
    """{clip: class name} over all lists."""
    names = read_labels(out / "labels.txt")
    return {path: names[label] for file in ("train", "val") for path, _, (label,) in listed(out / f"{file}.txt", root)}


def _expected(count: int = 6) -> dict[str, str]:
    return {f"{number}.mp4": CLASSES[number % 2] for number in range(count)}


@pytest.mark.parametrize(
    "header",
    [
        "path,label",
        "Filename;Gesture",
        "action\tvideo",
        "id,fichier,étiquette",
        "label|duration|clip name",
        "class,name",
        None,
    ],
)
def test_columns_are_detected_and_reported(clips: Path, tmp_path: Path, header: str | None) -> None:
    delimiter = next(d for d in ",;\t|" if d in (header or ","))
    columns = header.split(delimiter) if header else ["path", "label"]
    options = {"label_column": "étiquette"} if header and "étiquette" in header else {}
    lines = [header] if header else []
    for name, label in _expected().items():
        values = {"path": name, "label": label}
        for column in ("Filename", "video", "fichier", "clip name", "name"):
            values[column] = name
        for column in ("Gesture", "action", "étiquette", "class"):
            values[column] = label
        lines.append(delimiter.join(values.get(column, "7") for column in columns))
    report = prepare_list(_write(tmp_path / "my.csv", *lines), tmp_path / "out", clips=clips, **options)
    assert _labels(tmp_path / "out", clips) == _expected()
    assert report.notes[0].startswith(f"{tmp_path / 'my.csv'}: paths are read from column ")
    assert all(record.num_frames == 8 for record in read_list(tmp_path / "out" / "train.txt"))


def test_names_without_suffix_and_clips_beside_the_table(clips: Path, tmp_path: Path) -> None:
    table = _write(clips / "my.csv", "video_id,class", *(f"{n},{CLASSES[n % 2]}" for n in range(6)))
    prepare_list(table, tmp_path / "out")
    assert _labels(tmp_path / "out", clips) == _expected()


def test_numbers_are_class_names_in_numerical_order(clips: Path, tmp_path: Path) -> None:
    table = _write(clips / "my.csv", "path,label", *(f"{n}.mp4,{(2, 10)[n % 2]}" for n in range(6)))
    report = prepare_list(table, tmp_path / "out")
    assert any("labels are numbers" in note for note in report.notes)
    assert report.classes == ["2", "10"] == list(read_labels(tmp_path / "out" / "labels.txt"))


def test_absolute_and_parent_paths_are_converted_into_the_output(clips: Path, tmp_path: Path) -> None:
    paths = [clips / f"{n}.mp4" if n < 3 else Path("../clips") / f"{n}.mp4" for n in range(6)]
    (tmp_path / "tables").mkdir()
    table = _write(
        tmp_path / "tables" / "my.csv", "path,label", *(f"{p},{CLASSES[n % 2]}" for n, p in enumerate(paths))
    )
    before = sorted(tmp_path.rglob("*.mp4"))
    prepare_list(table, tmp_path / "out", convert="videos", short_side=24)
    made = set(tmp_path.rglob("*.mp4")) - set(before)
    assert len(made) == 6 and all(path.is_relative_to(tmp_path / "out" / "videos-24") for path in made)


def test_parts_are_not_converted(clips: Path, tmp_path: Path) -> None:
    rows = [f"{n}.mp4,{CLASSES[n % 2]},0,4" for n in range(6)]
    with pytest.raises(DataError, match="parts of videos cannot be converted"):
        prepare_list(
            _write(clips / "my.csv", "path,label,start_frame,end_frame", *rows), tmp_path / "out", convert="frames"
        )


def test_split_column_is_a_ready_split(clips: Path, tmp_path: Path) -> None:
    rows = [f"{n}.mp4,{CLASSES[n % 2]},{'Validation' if n > 3 else 'train'}" for n in range(6)]
    report = prepare_list(_write(clips / "my.csv", "path,label,subset", *rows), tmp_path / "out")
    assert report.split == {"clap": [2, 1], "wave": [2, 1]}
    assert {path for path, _, _ in listed(tmp_path / "out" / "val.txt", clips)} == {"4.mp4", "5.mp4"}


def test_parts_of_a_video_stay_together(clips: Path, tmp_path: Path) -> None:
    rows = [f"{n}.mp4,{CLASSES[half]},{4 * half},{4 * half + 4}" for n in range(6) for half in range(2)]
    report = prepare_list(_write(clips / "my.csv", "file,label,start_frame,end_frame", *rows), tmp_path / "out")
    files = [
        {str(record.path).partition("#")[0] for record in read_list(tmp_path / "out" / name)}
        for name in ("train.txt", "val.txt")
    ]
    assert report.groups == 6 and sum(report.lists.values()) == 12
    assert files[0] and files[1] and not files[0] & files[1]
    assert not report.duplicates and set(report.short.values()) == {4}


def test_missing_repeated_and_extra_are_reported(clips: Path, tmp_path: Path) -> None:
    shutil.copy(clips / "0.mp4", clips / "same.mp4")
    rows = [f"{name},{label},x" for name, label in (*_expected().items(), ("gone.mp4", "clap"), ("0.mp4", "clap"))]
    table = _write(clips / "my.csv", "path,label,person", *rows, "same.mp4,wave,x")
    text = str(report := prepare_list(table, tmp_path / "out"))
    assert report.missing == {"my.csv": ["gone.mp4 (line 8)"]}
    assert report.skipped == {"lines that repeat an earlier line": ["0.mp4"]}
    for expected in ("columns that are not read: person", "1 clip is missing", "the same clip in two classes"):
        assert expected in text


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["path,label", "0.mp4,clap", "0.mp4,wave"], {}, r"my.csv:3: 0.mp4 has another label .* line 2"),
        (["path,label", "0.mp4,"], {}, r"my.csv:2: the path or label is empty"),
        (["path,label", "0.mp4,clap,1"], {}, r"my.csv:2: 3 columns instead of 2"),
        (["path,label", "x.mp4,clap", "y.mp4,wave"], {}, r"none of the 2 clips exists in .*x.mp4.*--clips"),
        (["path,a,b", "0.mp4,clap,x"], {}, r"which column holds the class names\? .*--label-column: path, a, b"),
        (["u,v", "x,clap"], {}, r"which column holds the paths\? .*--path-column: u, v"),
        (
            ["path,label", "0.mp4,clap"],
            {"label_column": "gesture"},
            r"no column 'gesture' for --label-column; .*path, label",
        ),
        (["path,label", "0.mp4,clap;wave"], {}, r"my.csv:2: 'clap;wave' names several classes"),
        (["path,label"], {}, r"a header but no clips"),
        (["path", "0.mp4"], {}, r"only one column"),
        ([""], {}, r"the table is empty"),
        (["path,label", "0.mp4," + "x" * 200_000], {}, r"my.csv:2: 200,006 characters in one line"),
        (["path,label", "0.mp4,cl\x07ap", "1.mp4,wave"], {}, r"name of class .*control character"),
    ],
)
def test_unusable_tables_are_explained(
    clips: Path, tmp_path: Path, lines: list[str], options: dict[str, str], message: str
) -> None:
    table = _write(clips / "my.csv", *lines)
    with pytest.raises(DataError, match=message) as caught:
        prepare_list(table, tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_tables_in_other_encodings_are_refused(clips: Path, tmp_path: Path) -> None:
    (clips / "my.csv").write_bytes("path,label\n0.mp4,café\n".encode("latin1"))
    with pytest.raises(DataError, match=r"my.csv:2: not UTF-8"):
        prepare_list(clips / "my.csv", tmp_path / "out")


def test_command_line(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = _write(tmp_path / "my.csv", "a,b,c", *(f"{name},{label},x" for name, label in _expected().items()))
    arguments = ["prepare", "list", str(table), "--clips", str(clips), "--output", str(tmp_path / "out")]
    for extra, status in (([], 1), (["--path-column", "a", "--label-column", "2", "--val-fraction", "0.4"], 0)):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, *extra])
        assert stop.value.code == status
    output = capsys.readouterr()
    assert "--label-column" in output.err and output.err.count("\n") == 1
    assert "list: 2 classes in 6 groups" in output.out and "written: train.txt, val.txt, labels.txt" in output.out


def test_finished_list_needs_no_preparation(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("wave/a.mp4 9 0\nclap/b.mp4 12 1\n")
    with pytest.raises(DataError, match=r"val\.txt: a finished list of paths and class numbers; use it as is"):
        prepare_list(tmp_path / "val.txt", tmp_path / "out")


def test_too_few_clips_name_the_lost_ones(clips: Path, tmp_path: Path) -> None:
    (clips / "text.mp4").write_text("not a video")
    table = _write(clips / "my.csv", "path,label", "0.mp4,wave", "text.mp4,clap", "gone.mp4,clap")
    with pytest.raises(DataError, match=r"only 1 class with .* \(missing: gone\.mp4 \(line 4\); broken: .*text\.mp4"):
        prepare_list(table, tmp_path / "out")


@pytest.mark.parametrize(
    ("row", "message"),
    [("a" + ",1" * 5000, "5,001 columns, more than 1,000"), ("a" * 9000 + ",1", r"first '(a+)\.\.\.'; name")],
    ids=["columns", "cell"],
)
def test_endless_rows_are_refused_briefly(row: str, message: str, tmp_path: Path) -> None:
    table = _write(tmp_path / "my.csv", "path,label" if "columns" not in message else row, row)
    with pytest.raises(DataError, match=message) as caught:
        prepare_list(table, tmp_path / "out")
    assert len(str(caught.value)) < 500
