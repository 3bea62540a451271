"""Predictions for long lists: written as they come, and continued by the same command after any end."""

from __future__ import annotations

import csv
import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest
from tests.support.command_line import command
from tests.support.long_lists import write_long_list

from trishift.api import Model

CLIPS = 60
BROKEN = (7, 30, 31)  # numbers of clips that cannot be read
OUTPUTS = ("p.jsonl", "p.csv", "p.json", "p.parquet", "p.pkl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a labeled list of clips, three of which cannot be read."""
    return write_long_list(tmp_path_factory.mktemp("long"), CLIPS, BROKEN, 2, labeled=True)


def arguments(folder: Path, output: Path, *more: object) -> tuple[object, ...]:
    inputs = ("--filelist", folder / "list.txt", "--batch-size", 4, "--workers", 1, "--device", "cpu")
    return ("infer", "--checkpoint", folder / "model.safetensors", *inputs, "--output", output, *more)


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of unbroken runs."""
    whole = tmp_path_factory.mktemp("whole")
    for name in OUTPUTS:
        assert command(*arguments(folder, whole / name)) == 0
    return whole


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("job.jsonl")}


def right(whole: Path) -> int:
    rows = [json.loads(line) for line in (whole / "p.jsonl").read_text().splitlines()]
    return sum(row["predictions"][0]["class"] == int(Path(row["video"]).stem) % 3 for row in rows)


def stop_after(batches: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Model.predict_batches

    def stopped(self: Model, *arguments: object, **options: object) -> object:
        for count, results in enumerate(original(self, *arguments, **options)):  # type: ignore[arg-type]
            if count == batches:
                raise error
            yield results

    monkeypatch.setattr(Model, "predict_batches", stopped)


@pytest.mark.parametrize("name", OUTPUTS)
def test_interrupted_predictions_are_continued(
    folder: Path,
    whole: Path,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for batches in (3, 5):
        with monkeypatch.context() as patch:
            stop_after(batches, KeyboardInterrupt(), patch)
            assert command(*arguments(folder, tmp_path / name)) == 130
    assert capsys.readouterr().err.count(f"{name}: continued, 12 of 60 videos done") == 1
    assert command(*arguments(folder, tmp_path / name)) == 0
    captured = capsys.readouterr()
    assert f"{name}: continued, 32 of 60 videos done" in captured.err
    expected = {file: content for file, content in files_in(whole).items() if file.startswith(name)}
    if name == "p.json":
        expected = {file: content for file, content in expected.items() if not file.startswith("p.jsonl")}
    assert files_in(tmp_path) == expected
    assert f"warning: 3 of 60 videos could not be read, all listed in {tmp_path / name}.missing.csv" in captured.err
    assert f"{right(whole)} of 57 labeled videos right" in captured.out  # of all three runs
    assert command(*arguments(folder, tmp_path / name)) == 0
    assert "complete already; --overwrite predicts again" in capsys.readouterr().err
    assert files_in(tmp_path) == expected


def test_parquet_has_the_rows_of_the_lines(folder: Path, whole: Path) -> None:
    table = pyarrow.parquet.read_table(whole / "p.parquet")
    assert table.to_pylist() == [json.loads(line) for line in (whole / "p.jsonl").read_text().splitlines()]
    assert table.schema.field("predictions").type.value_type.field("class").type == pyarrow.int32()


@pytest.mark.parametrize(
    ("package", "name", "more", "message"),
    [
        ("pyarrow", "p.parquet", (), "Parquet needs pyarrow"),
        ("ray", "p.jsonl", ("--engine", "ray"), "--engine ray: Ray is not installed"),
    ],
)
def test_a_missing_package_is_one_line(
    folder: Path,
    tmp_path: Path,
    package: str,
    name: str,
    more: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert command(*arguments(folder, tmp_path / name, *more)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{message}; in the Trishift repository, run: pip install" in line
    assert not list(tmp_path.iterdir())


def test_unreadable_videos_are_a_list_of_their_own(folder: Path, whole: Path, tmp_path: Path) -> None:
    missing = whole / "p.jsonl.missing.csv"
    rows = list(csv.DictReader(missing.open()))
    assert [Path(row["path"]).name for row in rows] == ["07.mp4", "30.mp4", "31.mp4"]
    assert all(row["path"] in row["reason"] for row in rows)
    again = ("--filelist", missing, "--output", tmp_path / "again.jsonl")
    assert command("infer", "--checkpoint", folder / "model.safetensors", *again) == 1  # none can be read
    assert [row["path"] for row in csv.DictReader((tmp_path / "again.jsonl.missing.csv").open())] == [
        row["path"] for row in rows
    ]


def test_kill_at_any_time_costs_and_repeats_nothing(folder: Path, whole: Path, tmp_path: Path) -> None:
    output, kills = tmp_path / "p.jsonl", 0
    program = [sys.executable, "-m", "trishift", *map(str, arguments(folder, output))]
    slow = "import time; from trishift.io.jobs import Job; add = Job.add\n"
    slow += "Job.add = lambda *a: (add(*a), time.sleep(0.1))\nfrom trishift.cli import main; main()"
    program[1:3] = ["-c", slow]
    for lines in (4, 25):
        process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not output.exists() or output.read_bytes().count(b"\n") < lines):
            time.sleep(0.02)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills == 2
    assert command(*arguments(folder, output)) == 0
    assert output.read_bytes() == (whole / "p.jsonl").read_bytes()
    missing = tmp_path / "p.jsonl.missing.csv"
    assert missing.read_bytes() == (whole / missing.name).read_bytes()


def test_full_disk_is_one_line_and_continued(folder: Path, whole: Path, tmp_path: Path) -> None:
    """The limit on file sizes stands for the disk: writing fails in the middle of a line."""
    output = tmp_path / "p.jsonl"
    limit = (whole / "p.jsonl").stat().st_size // 2
    result = subprocess.run(
        [sys.executable, "-m", "trishift", *map(str, arguments(folder, output))],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        check=False,
    )
    assert result.returncode == 1
    *_, line = result.stderr.splitlines()
    assert "p.jsonl: cannot be written (File too large); the lines so far are kept, repeat the command" in line
    kept = output.read_bytes()
    assert kept and (whole / "p.jsonl").read_bytes().startswith(kept) and kept.endswith(b"}\n")
    assert command(*arguments(folder, output)) == 0
    assert output.read_bytes() == (whole / "p.jsonl").read_bytes()


def test_other_jobs_and_files_are_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "p.jsonl"
    with monkeypatch.context() as patch:
        stop_after(2, KeyboardInterrupt(), patch)
        assert command(*arguments(folder, output)) == 130
    kept = output.read_bytes()
    for more, message in ((("--top-k", 1), "another top_k"), (("--protocol", "three"), "another protocol")):
        assert command(*arguments(folder, output, *more)) == 1
        assert message in capsys.readouterr().err
    assert output.read_bytes() == kept
    (tmp_path / "mine.csv").write_text("precious")
    assert command(*arguments(folder, tmp_path / "mine.csv")) == 1
    assert "mine.csv: exists; name another file, or replace it with --overwrite" in capsys.readouterr().err
    assert command(*arguments(folder, output, "--top-k", 1, "--overwrite")) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows) == CLIPS - len(BROKEN) and all(len(row["predictions"]) == 1 for row in rows)
