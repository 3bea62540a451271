"""Long jobs: continued after any end, exactly once, by one process at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from trishift.errors import OutputError
from trishift.io import jobs
from trishift.io.jobs import Job, journal_of, open_job
from trishift.io.line_files import GrowingFile

SETTINGS = {"list": "a"}


@pytest.fixture(autouse=True)
def records_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_SECONDS_BETWEEN_RECORDS", -1.0)
    monkeypatch.setattr(jobs, "_SECONDS_BETWEEN_SYNCS", -1.0)


def run(output: Path, numbers: Sequence[int], *, restart: bool = False, total: int = 6) -> list[int]:
    """Do some numbers of a job, and finish it if nothing is left; returns what was pending before."""
    with open_job(output, (output, side(output)), SETTINGS, total, restart=restart) as job:
        before: list[int] = job.pending().tolist()
        for number in numbers:
            add(job, number)
        if not len(job.pending()):
            job.finish()
    return before


def add(job: Job, number: int) -> None:
    job.add([number], (f"{number}\n".encode(), b""), {"even": job.counts.get("even", 0) + (number % 2 == 0)})


def side(output: Path) -> Path:
    return output.with_name("side")


def test_a_repeated_job_does_the_rest(tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run(output, [0, 1, 4]) == [0, 1, 2, 3, 4, 5]
    output.write_bytes(output.read_bytes() + b"5\nhalf a li")  # written, but not recorded before the kill
    assert run(output, [2, 3]) == [2, 3, 5]
    assert run(output, [5]) == [5]
    assert output.read_text() == "0\n1\n4\n2\n3\n5\n"
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".out.job.jsonl"}
    with open_job(output, (output, side(output)), SETTINGS, 6) as job:
        assert job.finished and job.counts == {"even": 3}


def test_ranges_are_recorded(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with open_job(output, (output,), SETTINGS, 100) as job:
        job._recorded = np.inf  # no record before the end
        for start in range(0, 60, 10):
            job.add(range(start, start + 10), (b"x" * 10,), {})
        job.add([99], (b"x",), {})
    records = [json.loads(line) for line in journal_of(output).read_text().splitlines()]
    assert records[1:] == [{"done": [[0, 60], [99, 100]], "sizes": [61], "counts": {}}]


@pytest.mark.parametrize(
    ("settings", "total", "message"),
    [
        ({"list": "b"}, 6, r"out: was begun with another list \(before a, now b\); name another file, or start anew"),
        ({"list": "b"}, 7, r"another list \(before a, now b\)"),
        (SETTINGS, 7, r"another total \(before 6, now 7\)"),
    ],
)
def test_another_job_is_refused(tmp_path: Path, settings: dict[str, str], total: int, message: str) -> None:
    output = tmp_path / "out"
    run(output, [0])
    with pytest.raises(OutputError, match=message), open_job(output, (output,), settings, total):
        pass
    assert output.read_text() == "0\n"


def test_other_files_are_replaced_only_on_demand(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("other")
    with pytest.raises(OutputError, match="out: exists; name another file, or replace it with --overwrite"):
        run(output, [0])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    run(output, [], restart=True)
    assert output.read_text() == "other"  # until there is a result
    run(output, range(6), restart=True)
    assert output.read_text() == "0\n1\n2\n3\n4\n5\n"
    assert run(output, range(6), restart=True) == [0, 1, 2, 3, 4, 5]
    output.write_text("changed")
    with pytest.raises(OutputError, match="out: was changed after it was finished"):
        run(output, [])
    output.unlink()
    assert run(output, []) == [0, 1, 2, 3, 4, 5]


def test_files_older_than_the_journal_count_as_far_as_they_go(tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(output, [0, 1, 2])
    output.write_text("0\n1")  # after a power cut
    assert run(output, [1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
    assert output.read_text() == "0\n1\n2\n3\n4\n5\n"


def test_second_process_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with (
        open_job(output, (output,), SETTINGS, 6),
        pytest.raises(OutputError, match="out: another process is writing it"),
        open_job(output, (output,), SETTINGS, 6),
    ):
        pass


def test_full_disk_keeps_the_results_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    with open_job(output, (output, side(output)), SETTINGS, 6) as job:
        add(job, 0)

        def full(self: GrowingFile, content: bytes) -> None:
            raise OutputError(f"{self.path}: no space")

        with monkeypatch.context() as patch:
            job._files[1].append = full.__get__(job._files[1])  # type: ignore[method-assign]
            with pytest.raises(OutputError, match="no space"):
                add(job, 1)
            patch.undo()
    assert output.read_text() == "0\n"
    assert run(output, range(1, 6)) == [1, 2, 3, 4, 5]
    assert output.read_text() == "0\n1\n2\n3\n4\n5\n"


def test_a_complete_output_of_another_job_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "out.csv"
    missing = tmp_path / "out.csv.missing.csv"

    def another(name: str) -> None:
        with open_job(output, (output, missing), {"list": name}, 1) as job:
            job.add([0], (f"{name}\n".encode(), b"lost\n" if name == "a" else b""), {})
            job.finish()

    for name in ("a", "b", "c"):
        another(name)
    kept = (tmp_path / "out.1.csv", tmp_path / "out.2.csv")
    assert [path.read_text() for path in (*kept, output)] == [
        "a\n",
        "b\n",
        "c\n",
    ]
    assert (tmp_path / "out.1.csv.missing.csv").read_text() == "lost\n"
    assert not missing.exists()
    assert "out.csv: was begun with another list (before a, now b); it is complete and will be kept as" in caplog.text
    with open_job(output, (output, missing), {"list": "d"}, 1):
        pass  # ended before its first result
    assert output.read_text() == "c\n"


@pytest.mark.parametrize(
    "record", [{}, {"done": 3, "sizes": [2, 0], "counts": {}}, {"done": [[0]], "sizes": [], "counts": {}}]
)
def test_a_damaged_journal_is_one_line(tmp_path: Path, record: dict[str, object]) -> None:
    output = tmp_path / "out"
    run(output, [0, 1])
    with journal_of(output).open("a") as file:
        file.write(json.dumps(record) + "\n")
    with pytest.raises(OutputError, match=r"\.out\.job\.jsonl: is damaged; start anew with --overwrite"):
        run(output, [2])
    assert output.read_text() == "0\n1\n"
