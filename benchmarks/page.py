"""Make docs/benchmarks.md and its picture from benchmarks/page.md and the reports in benchmarks/results.

    python -m benchmarks.page             write both
    python -m benchmarks.page --check     exit with status 1 if the page is not what the reports give

A line `[[NAME]]` of page.md becomes the rows of that benchmark in the newest report that has it, and `[[machine]]` and
`[[summary]]` become the machine and the number of targets met.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.rows import Report, Row, read_report, table

from trishift.io.atomic import write_text
from trishift.io.wording import counted

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
MARK = re.compile(r"^\[\[(\w+)\]\]$", re.MULTILINE)
Newest = Mapping[str, Report]


def make_page(template: str, newest: Newest) -> str:
    """The page of a template."""
    return MARK.sub(lambda match: section(match[1], newest), template)


def newest_reports(folder: Path) -> dict[str, Report]:
    """Benchmark to the newest report in a folder that has it."""
    reports = [read_report(path) for path in sorted(folder.glob("*.json"))]
    reports.sort(key=lambda report: report.machine["date"])
    return {name: report for report in reports for name in report.benchmarks}


def section(name: str, newest: Newest) -> str:
    """The text for a mark."""
    if name == "machine":
        machines = dict.fromkeys(machine(report.machine) for report in newest.values())
        return "\n".join(f"* {text}" for text in machines)
    if name == "summary":
        verdicts = Counter(
            row.verdict for report_name, report in newest.items() for row in report.benchmarks[report_name]
        )
        return f"Of {counted(verdicts['met'] + verdicts['missed'], 'target')}, {verdicts['met']} are met."
    if name not in newest:
        return "Not measured yet."
    report = newest[name]
    return f"{table(report.benchmarks[name])}\n\n{circumstances(report)}"


def machine(facts: Mapping[str, Any]) -> str:
    """One line about a machine."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    gpu = f", {facts['gpu']}" if "gpu" in facts else ""
    return f"{facts['cores']} cores of {facts['cpu']}, {facts['memory_gb']} GB{gpu}; {versions}"


def circumstances(report: Report) -> str:
    """One line about a measurement."""
    facts, rounds = report.machine, report.settings["rounds"]
    settings = f"{counted(rounds, 'round')}, {counted(report.settings['threads'], 'thread')}"
    if report.settings.get("clock") == "processor":
        settings += ", processor time"
    return f"{facts['date']} UTC, commit {facts['commit']}, {settings}, load {facts['load']:g} before."


def curves(newest: Newest) -> dict[str, list[Row]]:
    """The name of every curve to its rows: time, and memory if it was measured."""
    grouped: dict[str, list[Row]] = {}
    for benchmark in ("scale", "distributed"):
        for row in newest[benchmark].benchmarks[benchmark] if benchmark in newest else ():
            if row.points:
                grouped.setdefault(row.name.partition(":")[0], []).append(row)
    return grouped


def main() -> int:
    """Write or check the page; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=FOLDER / "results")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    newest = newest_reports(options.results)
    page = make_page((FOLDER / "page.md").read_text("utf-8"), newest)
    if options.check:
        if options.output.read_text("utf-8") == page:
            return 0
        print(f"{options.output}: is not what the reports give; run python -m benchmarks.page", file=sys.stderr)
        return 1
    write_text(options.output, page)
    if drawn := curves(newest):
        from benchmarks.picture import draw

        draw(drawn, options.output.with_name("scale.png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
