"""Kills commands at random moments, repeats them, and compares the results with those of unbroken runs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.attack import ROOT, environment, is_alive, processor_time

QUICK_KILLS = 2
_TEMPORARY = (".unfinished-", ".replacing-", ".export-")
_LATE = 0.03  # seconds after a temporary file appears, at most


@dataclass(frozen=True)
class Job:
    """A command to kill.

    Attributes:
        framework: framework that it imports, or `none`.
        kills: number of kills.
        start: arguments of the command, for an output folder.
        again: arguments of the command that completes what a kill left.
        problem: describes an incomplete file under a final name, or returns None.
    """

    framework: str
    kills: int
    start: Callable[[Path], list[str]]
    again: Callable[[Path], list[str]]
    problem: Callable[[Path, Path], str | None]


class Server:
    """A process that runs commands in forks."""

    def __init__(self, framework: str, log: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.reliability.server", framework]
        self._log = log
        self._process = subprocess.Popen(
            command, env=environment(), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=log.open("a"),
        )  # fmt: skip

    def start(self, arguments: list[str]) -> int:
        """Start a command; returns its process number."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "log": str(self._log)}) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def wait(self) -> tuple[int, float]:
        """Wait for the command; returns its status as from `os.waitpid`, and its processor time in seconds."""
        status, seconds = self._line().split()
        return int(status), float(seconds)

    def run(self, arguments: list[str]) -> float:
        """Run a command to its end; returns its processor time in seconds.

        Raises:
            RuntimeError: it failed.
        """
        self.start(arguments)
        status, seconds = self.wait()
        if status:
            raise RuntimeError(f"status {status} of {' '.join(arguments)}; see {self._log}")
        return seconds

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended; see {self._log}")
        return line


def jobs(work: Path) -> dict[str, Job]:
    """All jobs; their inputs are written to `work` first."""
    recipe, weights = work / "tiny.yaml", work / "weights.safetensors"
    if not weights.is_file():
        _write_inputs(work)

    def trained(framework: str) -> Job:
        start = ["train", "--config", str(recipe), "--framework", framework, "--overwrite", "--output"]

        def first(out: Path) -> list[str]:
            return [*start, str(out / "run")]

        return Job(framework, 40, first, lambda out: _continued(out, framework) or first(out), _damaged_run)

    gestures = ["--train", "18", "--val", "18", "--size", "32", "--workers", "1"]
    exporting = ["export", "--checkpoint", str(weights), "--format", "torch", "--output"]
    return {
        "prepare": _repeated("none", 30, lambda out: ["prepare", "gestures", str(out / "g"), *gestures], _differing),
        "convert": _repeated(
            "none", 25, lambda out: ["convert", str(weights), str(out / "w.pth"), "--force"], _differing
        ),
        "train, PyTorch": trained("pytorch"),
        "train, Paddle": trained("paddle"),
        "train, MindSpore": trained("mindspore"),
        "export": _repeated("pytorch", 25, lambda out: [*exporting, str(out)], _damaged_export),
    }


def _repeated(
    framework: str, kills: int, command: Callable[[Path], list[str]], problem: Callable[[Path, Path], str | None]
) -> Job:
    """A job that the same command completes."""
    return Job(framework, kills, command, command, problem)


def _write_inputs(work: Path) -> None:
    """Write gestures, a recipe of two epochs that saves after every step, and weights of a small network."""
    from benchmarks.reliability.samples import small_model

    from trishift.checkpoints import canonical
    from trishift.data.gestures import make_gestures

    work.mkdir(parents=True, exist_ok=True)
    make_gestures(work / "gestures", train=18, val=18, size=32, workers=1)
    (work / "tiny.yaml").write_text(
        "name: tiny\n"
        "model: {backbone: resnet10, width: 8, num_segments: 4, shift: {div: 4}}\n"
        "input: {resize: 32, crop: 32}\n"
        f"data: {{root: {work / 'gestures'}, train_list: train.txt, val_list: val.txt, labels: labels.txt,\n"
        "  workers: 1}\n"
        "train: {epochs: 2, batch_size: 6, lr: 0.01, save_every: 1}\n"
    )
    canonical.save(work / "weights.safetensors", small_model())


def _continued(out: Path, framework: str) -> list[str]:
    """Arguments that resume a run, or none if it has no checkpoint yet."""
    resume = ["train", "--resume", str(out / "run"), "--framework", framework]
    return resume if (out / "run" / "last.safetensors").is_file() else []


def _differing(out: Path, reference: Path) -> str | None:
    """A file whose bytes differ from the unbroken run's."""
    for path in _files(out):
        if path.name == "gestures.json" and b'"complete": false' in path.read_bytes():
            continue  # says that the set is unfinished, which the next run completes
        other = reference / path.relative_to(out)
        if not other.is_file() or other.read_bytes() != path.read_bytes():
            return f"{path.relative_to(out)} differs from the unbroken run"
    return None


def _damaged_run(out: Path, reference: Path) -> str | None:
    from trishift.checkpoints import canonical
    from trishift.checkpoints.training_state import load_state
    from trishift.errors import TrishiftError
    from trishift.recipe import load_recipe

    readers = {"last.safetensors": load_state, "best.safetensors": canonical.load, "recipe.yaml": load_recipe}
    for name, read in readers.items():
        try:
            if (out / "run" / name).exists():
                read(out / "run" / name)
        except TrishiftError as error:
            return str(error)
    return None


def _damaged_export(out: Path, reference: Path) -> str | None:
    from trishift.errors import TrishiftError
    from trishift.export.description import check_files, read_description

    for path in out.glob("*.pt2"):
        try:
            check_files(path, read_description(path))
        except TrishiftError as error:
            return str(error)
    return None


def _files(folder: Path) -> list[Path]:
    """Files under final names; event files of TensorBoard contain times."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and "tensorboard" not in path.parts]
    return [path for path in found if not any(part.startswith(_TEMPORARY) or part == ".lock" for part in path.parts)]


def _temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name.startswith(_TEMPORARY) or path.name == ".lock"]


def kill_job(name: str, job: Job, work: Path, counts: dict[str, int], kills: int, deadline: float) -> list[str]:
    """Kill a job until `counts["kills"]` reaches `kills`, or until the deadline; returns the faults."""
    faults: list[str] = []
    folder = work / name.replace(", ", "-")
    folder.mkdir(exist_ok=True)
    server = Server(job.framework, folder / "log.txt")
    rng = random.Random(f"{name} {counts['kills']}")
    try:
        reference = folder / "reference"
        shutil.rmtree(reference, ignore_errors=True)
        reference.mkdir()
        seconds = server.run(job.start(reference))
        while counts["kills"] < kills and time.monotonic() < deadline:
            out = folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            process = server.start(job.start(out))
            aimed = _wait(process, out, rng, seconds, aim=counts["kills"] % 2 == 1)
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            if server.wait()[0] != signal.SIGKILL:
                continue  # it had ended
            counts["kills"] += 1
            counts["aimed"] += aimed
            problem = job.problem(out, reference)
            if problem is None:
                server.run(job.again(out))
                problem = _difference(job, out, reference)
            if problem:
                counts["faults"] += 1
                faults.append(f"{name}: {problem}")
    finally:
        server.close()
    return faults


def _wait(process: int, out: Path, rng: random.Random, seconds: float, *, aim: bool) -> bool:
    """Wait for a random moment, or for a temporary file and a moment more; returns whether one exists.

    Moments are measured in processor time of the command, because other programs may slow it down.
    """
    end = seconds * (1 if aim else rng.random())
    skipped = rng.randrange(4)  # temporary files that are left alone
    seen: set[tuple[str, int]] = set()
    while is_alive(process) and processor_time(process) < end:
        if aim:
            with suppress(FileNotFoundError):
                seen |= {(path.name, path.stat().st_ino) for path in _existing(out)}
            if len(seen) > skipped:
                time.sleep(rng.random() * _LATE)
                break
        time.sleep(0.0005 if aim else 0.01)
    return bool(_existing(out))


def _existing(out: Path) -> list[Path]:
    try:
        return [path for path in _temporaries(out) if path.name != ".lock" and path.exists()]
    except OSError:  # removed in the meantime
        return []


def _difference(job: Job, out: Path, reference: Path) -> str | None:
    """What a completed job left behind or did otherwise than the unbroken one."""
    if left := _temporaries(out):
        return f"{left[0].relative_to(out)} was left behind"
    if job.problem is _damaged_export:
        return job.problem(out, reference) if list(out.glob("*.pt2")) else "no export"
    missing = [path for path in _files(reference) if not (out / path.relative_to(reference)).is_file()]
    return f"{missing[0].relative_to(reference)} is missing" if missing else _differing(out, reference)
