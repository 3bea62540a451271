"""The benchmark command runs every benchmark on tiny models, and its page is what the kept reports give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.installed import MISSING
from tests.support.paths import ROOT

NEVER_IN_A_PAGE = 123456.0


def benchmarks(*arguments: object) -> subprocess.CompletedProcess[str]:
    module, *rest = map(str, arguments)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    return subprocess.run(
        [sys.executable, "-m", module, *rest], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
def test_every_benchmark_runs(tmp_path: Path) -> None:
    done = benchmarks("benchmarks", "--quick", "--folder", tmp_path, "--json", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    names = [line.split()[0] for line in benchmarks("benchmarks", "--list").stdout.splitlines()]
    assert list(report["benchmarks"]) == names and len(names) == 14
    for name, rows in report["benchmarks"].items():
        assert rows, name
        for row in rows:
            assert {"name", "ours", "baseline", "ratio", "target", "unit"} <= row.keys()
            assert f"| {row['name']} |" in done.stdout
            assert (row["ours"] is None) == bool(row.get("note") and not row["ratio"]), row
    assert {"cpu", "cores", "versions", "load", "commit", "date"} <= report["machine"].keys()


def test_the_page_is_what_the_reports_give(tmp_path: Path) -> None:
    done = benchmarks("benchmarks.page", "--check")
    assert done.returncode == 0, done.stderr
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        report = json.loads(path.read_text())
        for rows in report["benchmarks"].values():
            rows[0]["ours"] = NEVER_IN_A_PAGE
        (tmp_path / path.name).write_text(json.dumps(report))
    assert benchmarks("benchmarks.page", "--check", "--results", tmp_path).returncode == 1
