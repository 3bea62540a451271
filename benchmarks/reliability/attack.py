"""Supervises the workers: starts them, replaces those that hang or crash, and counts outcomes."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_SILENCE = 20.0  # seconds of processor time after which a worker counts as hanging
_WALL = 120.0  # seconds without a line, however busy the machine is
_RECHECK = 1200.0  # seconds for the kept inputs of a reader, also where many programs share the machine
_KEPT = 40  # faults that are kept with their inputs


@dataclass
class Tally:
    """Counts of a reader so far; survives interruptions as JSON.

    Attributes:
        deliberate: number of deliberate inputs.
        done: inputs that were read, refused or at fault.
        outcomes: counts of `read`, `refused` and `fault`.
        seconds, megabytes: largest per input.
        faults: descriptions of the first faults; `fixed` if their inputs have been read again without one.
        version, date: commit of the attacked code, and the day, when inputs were last read.
    """

    deliberate: int = 0
    done: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    megabytes: float = 0.0
    faults: list[dict[str, Any]] = field(default_factory=list)
    version: str = ""
    date: str = ""


def environment() -> dict[str, str]:
    """The environment of a worker."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def make_inputs(name: str, folder: Path) -> int:
    """Write a reader's seeds and deliberate inputs; returns the number of the latter."""
    if not (folder / "ready").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "benchmarks.reliability.inputs", name, str(folder)]
        subprocess.run(command, env=environment(), cwd=ROOT, check=True)
        (folder / "ready").touch()
    return sum(1 for _ in (folder / "hostile").iterdir())


def attack(name: str, folder: Path, tally: Tally, until: int, seconds: float) -> None:
    """Feed a reader with its inputs up to number `until`, for some seconds; writing the seeds does not count."""
    tally.deliberate = make_inputs(name, folder)
    deadline = time.monotonic() + seconds
    while tally.done < until and time.monotonic() < deadline:
        _run_worker(name, folder, tally, until, deadline)


def _run_worker(name: str, folder: Path, tally: Tally, until: int, deadline: float) -> None:
    """Run one worker until it is done, hangs or crashes; the inputs of the last two stay in `folder/faults`."""
    command = [sys.executable, "-m", "benchmarks.reliability.worker", name, str(folder), str(tally.done), str(until)]
    with subprocess.Popen(
        command, env=environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=(folder / "stderr.txt").open("a")
    ) as process:
        assert process.stdout is not None
        ready, reading, buffer = False, False, b""
        last, used = time.monotonic(), processor_time(process.pid)
        while True:
            if time.monotonic() > deadline:
                process.kill()
                return
            if not select.select([process.stdout], [], [], 1.0)[0]:
                hangs = processor_time(process.pid) - used > _SILENCE or time.monotonic() - last > _WALL
                if hangs:
                    process.kill()
                    if not ready:
                        raise RuntimeError(f"the worker of {name} does not start; see {folder / 'stderr.txt'}")
                    keep_input(folder, tally.done)
                    _count(tally, {"outcome": "fault", "fault": "hangs", "number": tally.done})
                    return
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            last, used = time.monotonic(), processor_time(process.pid)
            for line in lines:
                entry = json.loads(line)
                ready, reading = True, "start" in entry
                if not reading:
                    _count(tally, entry)
        status = process.wait()
    if tally.done < until:
        if not reading:
            raise RuntimeError(f"the attack on {name} itself failed; see {folder / 'stderr.txt'}")
        keep_input(folder, tally.done)
        _count(tally, {"outcome": "fault", "fault": f"crashed with status {status}", "number": tally.done})


def recheck(name: str, folder: Path, tally: Tally) -> None:
    """Read the inputs of the faults again, and note which ones are fixed; an input that ends the worker is not."""
    if not tally.faults or not (folder / "faults").is_dir():
        return
    command = [sys.executable, "-m", "benchmarks.reliability.worker", name, str(folder), "--faults"]
    with (folder / "stderr.txt").open("a") as log:
        done = subprocess.run(
            command, env=environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=log, timeout=_RECHECK, check=False
        )
    fixed = {entry["number"] for line in done.stdout.splitlines() if not (entry := json.loads(line))["fault"]}
    for fault in tally.faults:
        fault["fixed"] = fault["number"] in fixed


def keep_input(folder: Path, number: int) -> None:
    """Keep a copy of the present input, for repeating it."""
    kept = folder / "faults" / str(number)
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder / "case", kept, symlinks=True)


def _count(tally: Tally, entry: dict[str, Any]) -> None:
    tally.done += 1
    tally.outcomes = dict(Counter(tally.outcomes) + Counter([entry["outcome"]]))
    tally.seconds = max(tally.seconds, entry.get("seconds", 0.0))
    tally.megabytes = max(tally.megabytes, entry.get("megabytes", 0.0))
    if entry["outcome"] == "fault" and len(tally.faults) < _KEPT:
        tally.faults.append(entry)


def is_alive(pid: int) -> bool:
    """Whether a process exists."""
    return Path(f"/proc/{pid}").is_dir()


def processor_time(pid: int) -> float:
    """Processor time of a process so far, in seconds; 0 if it does not exist."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_tallies(path: Path) -> dict[str, Tally]:
    """Read the counts of an earlier, interrupted run."""
    if not path.is_file():
        return {}
    return {name: Tally(**values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}


def write_tallies(path: Path, tallies: dict[str, Tally]) -> None:
    """Write the counts."""
    path.write_text(json.dumps({name: asdict(tally) for name, tally in tallies.items()}, indent=1), encoding="utf-8")
