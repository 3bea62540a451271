"""One command for all benchmarks.

    python -m benchmarks                            everything, which takes hours
    python -m benchmarks inference shift            some of them
    python -m benchmarks --list                     their names
    python -m benchmarks loader --clips VIDEOS --json benchmarks/results/loader.json

Every figure is the median of rounds in which the alternatives take turns. Targets are printed with their verdict, and
the exit status is 0 whether they are met or not. `python -m benchmarks.page` makes docs/benchmarks.md from the files in
benchmarks/results. The other modules of this folder are experiments with their own commands.
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from benchmarks.interleaved import CLOCK, CLOCKS
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.rows import Report, table, write_report

from trishift.backends import FRAMEWORKS

NAMES = (
    *("inference", "shift", "train", "memory", "decode", "transform", "loader", "archives"),
    *("head", "convert", "startup", "scale", "distributed", "gpu"),
)


def main() -> None:
    """Measure, print, and write the rows as they come."""
    options = parser().parse_args()
    names = options.names or NAMES
    if options.list:
        print("\n".join(f"{name:12} {summary(name)}" for name in names))
        return
    os.environ["OMP_NUM_THREADS"] = str(options.threads or (1 if options.quick else os.cpu_count()))
    os.environ[CLOCK] = options.clock
    settings = Options(
        folder=options.folder / ("quick" if options.quick else "full"),
        rounds=options.rounds or (1 if options.quick else 7),
        quick=options.quick,
        clips=options.clips,
        frameworks=("pytorch",) if options.quick else tuple(options.frameworks),
    )
    threads = int(os.environ["OMP_NUM_THREADS"])
    facts = {"rounds": settings.rounds, "quick": settings.quick, "threads": threads, "clock": options.clock}
    report = Report(describe(), facts)
    for name in names:
        rows = report.benchmarks.setdefault(name, [])
        print(f"\n## {name}: {summary(name)}\n", flush=True)
        for row in importlib.import_module(f"benchmarks.suite.{name}").rows(settings):
            rows.append(row)
            print(table(rows) if len(rows) == 1 else table([row]).splitlines()[-1], flush=True)
            if options.json:
                write_report(options.json, report)


def summary(name: str) -> str:
    """First line of a benchmark's description."""
    return (importlib.import_module(f"benchmarks.suite.{name}").__doc__ or "").splitlines()[0]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help="default: all")
    made.add_argument("--list", action="store_true", help="print the names and what they measure")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to a file")
    made.add_argument("--rounds", type=int, help="rounds of every comparison; default: 7")
    made.add_argument("--quick", action="store_true", help="tiny models and one round, to try the command itself")
    made.add_argument("--clips", type=Path, metavar="DIR", help="also measure decoding and loading of these videos")
    made.add_argument("--threads", type=int, help="compute threads of every framework; default: one per core")
    text = "`processor` counts the processor time of an alternative, for busy machines, with --threads 1; default: wall"
    made.add_argument("--clock", choices=CLOCKS, default="wall", help=text)
    made.add_argument("--frameworks", nargs="+", choices=FRAMEWORKS, default=list(FRAMEWORKS))
    made.add_argument(
        "--folder", type=Path, default=Path("runs/benchmarks"), help="for generated weights and clips; kept"
    )
    return made


if __name__ == "__main__":
    main()
