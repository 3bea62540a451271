"""Attack every reader of outside files, and kill commands at random moments; writes docs/reliability.md.

    python -m benchmarks.reliability                          everything: 10,000 inputs per reader and 200 kills
    python -m benchmarks.reliability --quick                  300 inputs per reader and 10 kills, no page
    python -m benchmarks.reliability --only list csv kills    some readers; `kills` is the other half
    python -m benchmarks.reliability --minutes 20             stop after 20 minutes; the next call continues

Counts, and the inputs at fault, are in WORK (default: runs/reliability). `--restart` forgets the counts.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from benchmarks.reliability.attack import ROOT, Tally, attack, read_tallies, write_tallies
from benchmarks.reliability.readers import readers

INPUTS, QUICK_INPUTS = 10_000, 300


def main() -> None:
    """Run the chosen attacks, print a line for each, and exit with 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*readers(), "kills"])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "reliability")
    parser.add_argument(
        "--scratch", type=Path, default=Path("/dev/shm/trishift-reliability"), help="in memory if possible"
    )
    parser.add_argument("--restart", action="store_true")
    options = parser.parse_args()
    chosen = options.only or [*readers(), "kills"]
    options.work.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes
    file = options.work / ("quick.json" if options.quick else "tallies.json")
    tallies = read_tallies(file)
    for name in [name for name in chosen if name in readers()]:
        if options.restart:
            tallies.pop(name, None)
            shutil.rmtree(options.scratch / name, ignore_errors=True)
        tally = tallies.setdefault(name, Tally(version=commit(), date=str(date.today())))
        attack(name, options.scratch / name, tally, QUICK_INPUTS if options.quick else INPUTS, deadline)
        write_tallies(file, tallies)
        print(
            f"{name:14} {tally.done:6} inputs {tally.outcomes} max {tally.seconds:.2f} s {tally.megabytes:.0f} MB",
            flush=True,
        )
        for fault in tally.faults:
            what = f"{fault['fault']}: {fault.get('message', '')[:100]!r}"
            print(f"    {fault['number']:5} {fault.get('input', ''):30} {what}", flush=True)
    sys.exit(any(tally.outcomes.get("fault") for name, tally in tallies.items() if name in chosen))


def commit() -> str:
    """The abbreviated commit of the working tree."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
