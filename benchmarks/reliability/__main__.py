"""Attack every reader of outside files, and kill commands at random moments; writes docs/reliability.md.

    python -m benchmarks.reliability                          everything: 10,000 inputs per reader and 200 kills
    python -m benchmarks.reliability --quick                  200 inputs per reader and 2 kills per job, no page
    python -m benchmarks.reliability --only list csv kills    some readers; `kills` is the other half
    python -m benchmarks.reliability --minutes 20             stop after 20 minutes; the next call continues

The time is shared equally among the readers that are not done, repeatedly; kills get half of it. Counts are in WORK
(default: runs/reliability), and the inputs at fault in SCRATCH/READER/faults. `--restart` forgets the counts of the
chosen ones. Kills may run beside the readers, in another process: `--only kills`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from benchmarks.reliability.attack import ROOT, Tally, attack, read_tallies, recheck, write_tallies
from benchmarks.reliability.kills import QUICK_KILLS, jobs, kill_job
from benchmarks.reliability.page import INPUTS, write_page
from benchmarks.reliability.readers import readers

SCRATCH = Path("/dev/shm/trishift-reliability")
QUICK_INPUTS = 200
_NO_KILLS = {"kills": 0, "aimed": 0, "faults": 0}


def main() -> None:
    """Run the chosen attacks, print a line for each, and exit with 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*readers(), "kills"])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "reliability")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="in memory if possible")
    parser.add_argument("--restart", action="store_true")
    options = parser.parse_args()
    options.work = options.work.absolute() / ("quick" if options.quick else "full")
    options.work.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes
    chosen = options.only or [*readers(), "kills"]
    faults = attack_readers(options, [name for name in chosen if name != "kills"], deadline, "kills" in chosen)
    if "kills" in chosen:
        faults += kill_jobs(options, deadline)
    if not options.quick:
        tallies, kills = read_tallies(options.work / "inputs.json"), read_kills(options.work)
        write_page(ROOT / "docs" / "reliability.md", tallies, kills)
    sys.exit(faults > 0)


def attack_readers(options: argparse.Namespace, chosen: list[str], deadline: float, half: bool) -> int:
    """Attack readers and store their counts after each; returns the number of faults."""
    file, until = options.work / "inputs.json", QUICK_INPUTS if options.quick else INPUTS
    tallies = read_tallies(file)
    for name in chosen if options.restart else ():
        tallies.pop(name, None)
        shutil.rmtree(options.scratch / name, ignore_errors=True)
    now = time.monotonic()
    deadline -= (deadline - now) / 2 if half else 0
    waiting = chosen
    while waiting and now < deadline:
        for place, name in enumerate(waiting):
            tally = tallies.setdefault(name, Tally())
            if tally.done < until:
                tally.version, tally.date = commit(), str(date.today())
            share = (deadline - time.monotonic()) / (len(waiting) - place)
            attack(name, options.scratch / name, tally, until, share)
            recheck(name, options.scratch / name, tally)
            write_tallies(file, tallies)
            _print(name, tally)
        waiting, now = [name for name in waiting if tallies[name].done < until], time.monotonic()
    return sum(tallies[name].outcomes.get("fault", 0) for name in chosen)


def _print(name: str, tally: Tally) -> None:
    worst = f"{tally.seconds:.2f} s {tally.megabytes:.0f} MB"
    print(f"{name:14} {tally.done:6} inputs {tally.outcomes} worst {worst}", flush=True)
    for fault in tally.faults:
        what = f"{fault['fault']}: {fault.get('message', '')[:100]!r}"
        print(f"    {fault['number']:5} {fault.get('input', ''):30} {what}", flush=True)


def kill_jobs(options: argparse.Namespace, deadline: float) -> int:
    """Kill every job and store the counts after each; returns the number of faults."""
    work = options.scratch / "kills"
    counts = {} if options.restart else read_kills(options.work)
    for place, (name, job) in enumerate(every := list(jobs(work).items())):
        share = (deadline - time.monotonic()) / (len(every) - place)
        count = counts.setdefault(name, {**_NO_KILLS})
        number = QUICK_KILLS if options.quick else job.kills
        problems = kill_job(name, job, work, count, number, time.monotonic() + share)
        (options.work / "kills.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
        print(f"{name:18} {count['kills']} kills, {count['faults']} faults", *problems, sep="\n    ", flush=True)
    return sum(count["faults"] for count in counts.values())


def read_kills(work: Path) -> dict[str, dict[str, int]]:
    """Counts of kills by job."""
    file = work / "kills.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def commit() -> str:
    """The abbreviated commit of the working tree."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
