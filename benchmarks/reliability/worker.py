"""Feeds inputs to a reader, in a process of its own, and prints one line of JSON per input.

    python -m benchmarks.reliability.worker READER FOLDER FIRST LAST
    python -m benchmarks.reliability.worker READER FOLDER --faults      only the kept inputs of earlier faults, again

FOLDER contains `seeds/` and `hostile/`, see `attack.py`. Inputs are numbered: deliberate ones alternate with mutations
while there are any. Mutations derive from the reader and the number alone, so that each of them can be repeated.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.reliability.attack import keep_input
from benchmarks.reliability.mutations import write_mutated
from benchmarks.reliability.readers import Reader, readers

ADDRESS_SPACE = 5 * 2**30  # more is refused by the system, so that a fault cannot take the machine down
LONGEST_MESSAGE = 5000  # characters: a path has up to 4,096
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "ctypes.dlopen", "pty.spawn")
_RELATIVE = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod"}
_CHANGES = _RELATIVE | {"os.truncate"}  # the last arguments of the others: open folders of relative paths, or -1


class Spy:
    """Watches the interpreter's audit events while an input is read: started programs and files outside."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._allowed: Path | None = None
        self._readable = [str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, *sys.path) if path]
        self._readable += [
            str(Path(__file__).parents[2]),
            "/proc/self",
            "/dev/null",
            "/dev/urandom",
            "/sys",
            "/etc/mime",
        ]
        sys.addaudithook(self._hear)

    @contextmanager
    def watching(self, allowed: Path) -> Iterator[list[str]]:
        """Collect the events that touch anything outside a folder."""
        self.events, self._allowed = [], allowed
        try:
            yield self.events
        finally:
            self._allowed = None

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._allowed is None:
            return
        if event in _PROGRAMS:
            self.events.append(f"ran a program: {event} {arguments!r}"[:300])
        elif event == "open":
            path, mode, flags = arguments
            writing = bool(flags & _WRITING) if isinstance(flags, int) else any(c in (mode or "r") for c in "wax+")
            self._check(path, "wrote" if writing else "opened")
        elif event in _CHANGES:
            paths = [each for each in arguments[:2] if isinstance(each, str | bytes | os.PathLike)]
            folders = arguments[-len(paths) :] if event in _RELATIVE else ()
            for path, folder in itertools.zip_longest(paths, folders, fillvalue=-1):
                self._check(path if folder == -1 else Path(_path_of(folder), os.fsdecode(path)), event)

    def _check(self, path: Any, action: str) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        allowed, self._allowed = self._allowed, None  # no events of the check itself
        try:
            real = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (links must not be resolved)
            inside = allowed is not None and (real + "/").startswith(f"{allowed}/")
            if not inside and (action != "opened" or not any(real.startswith(root) for root in self._readable)):
                self.events.append(f"{action} {real}"[:300])
        finally:
            self._allowed = allowed


def _path_of(descriptor: int) -> str:
    """The path of an open folder."""
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 (no events of pathlib)


class Lines(logging.Handler):
    """Formats every log record, because formatting can fail, and keeps the length of the longest one."""

    longest = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Format a record."""
        self.longest = max(self.longest, len(record.getMessage()))


def main() -> None:
    """Read the inputs FIRST to LAST (exclusive), or those of earlier faults."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    reader = readers()[name]
    warnings.simplefilter("ignore")
    logs = Lines()
    logging.getLogger().addHandler(logs)
    logging.raiseExceptions = True
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    hostile = sorted((folder / "hostile").iterdir())
    seeds = sorted((folder / "seeds").iterdir())
    files = [
        path for seed in seeds for path in ([seed] if seed.is_file() else sorted(seed.rglob("*"))) if path.is_file()
    ]
    sizes = [sum(path.stat().st_size for path in files if path.is_relative_to(seed)) for seed in seeds]
    weights = [(1 + size) ** -0.5 for size in sizes]  # small files: more of their bytes are structure
    case = folder / "case"
    for seed in seeds:
        read_once(reader, seed, folder)  # late imports
    spy = Spy()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.argv[3] == "--faults":
        read_again(reader, spy, folder, logs)
        return
    for number in range(int(sys.argv[3]), int(sys.argv[4])):
        shutil.rmtree(case, ignore_errors=True)
        (case / "out").mkdir(parents=True)
        if number % 2 == 0 and number // 2 < len(hostile):
            source = hostile[number // 2]
            if source.is_dir():
                shutil.copytree(source, case / source.name, symlinks=True)
            else:
                shutil.copy(source, case / source.name, follow_symlinks=False)
            target, label = case / source.name, source.name
        else:
            rng = random.Random(f"{name} {number}")
            seed = rng.choices(seeds, weights)[0]
            target, label = case / seed.name, f"mutation of {seed.name}"
            write_mutated(seed, target, rng, files)
        print(json.dumps({"start": number}), flush=True)
        entry = {"number": number, "input": label, **observe(reader, spy, target, case, logs)}
        if entry["fault"]:
            keep_input(folder, number)
        print(json.dumps(entry), flush=True)


def read_again(reader: Reader, spy: Spy, folder: Path, logs: Lines) -> None:
    """Read the kept inputs of earlier faults, which may be fixed."""
    case = folder / "case"
    for kept in sorted((folder / "faults").iterdir()):
        shutil.rmtree(case, ignore_errors=True)
        shutil.copytree(kept, case, symlinks=True)
        shutil.rmtree(case / "out", ignore_errors=True)
        (case / "out").mkdir()
        target = next((path for path in case.iterdir() if path.name != "out"), case)
        print(json.dumps({"number": int(kept.name), **observe(reader, spy, target, case, logs)}), flush=True)


def read_once(reader: Reader, seed: Path, folder: Path) -> None:
    """Read a valid input, so that modules are imported before anything is measured."""
    from trishift.errors import TrishiftError

    out = folder / "warm"
    out.mkdir(exist_ok=True)
    with suppress(TrishiftError):  # some readers read an input in several ways, of which one fits
        reader.read(seed, out)
    shutil.rmtree(out)


def observe(reader: Reader, spy: Spy, target: Path, case: Path, logs: Lines) -> dict[str, Any]:
    """Read an input and describe what happened."""
    logs.longest = 0
    before = {path.name for path in case.iterdir()}
    base, began = reset_peak(), time.process_time()
    fault, message, outcome = None, "", "read"
    with spy.watching(case.absolute()) as events:
        try:
            reader.read(target, case / "out")
        except BaseException as error:
            outcome, message, fault = judge(error)
    seconds, megabytes = time.process_time() - began, (peak() - base) / 1024
    size = sum(p.stat().st_size for p in (target.rglob("*") if target.is_dir() else [target]) if p.is_file())
    if events:
        fault = events[0]
    elif {path.name for path in case.iterdir()} != before or any(
        path.is_symlink() for path in (case / "out").rglob("*")
    ):
        fault = f"left files: {sorted({path.name for path in case.iterdir()} - before)}"
    elif fault is None and logs.longest > LONGEST_MESSAGE:
        fault = f"a warning of {logs.longest:,} characters"
    elif fault is None and seconds > reader.seconds:
        fault = f"took {seconds:.1f} s"
    elif fault is None and megabytes > reader.megabytes + 50 * size / 2**20:
        fault = f"took {megabytes:.0f} MB for {size:,} bytes"
    return {"outcome": "fault" if fault else outcome, "fault": fault, "message": message[:300],
            "seconds": round(seconds, 4), "megabytes": round(megabytes, 1)}  # fmt: skip


def judge(error: BaseException) -> tuple[str, str, str | None]:
    """(outcome, message, fault or None) of an exception."""
    from trishift.errors import TrishiftError
    from trishift.io.terminal import printable

    if isinstance(error, TrishiftError):
        text = str(error)
        printed = printable(text)
        long = len(text) > LONGEST_MESSAGE
        return "refused", printed, f"a message of {len(text):,} characters" if long else None
    trace, place = error.__traceback__, ""
    while trace is not None:
        if "trishift/" in trace.tb_frame.f_code.co_filename:
            place = f"{trace.tb_frame.f_code.co_filename.rpartition('trishift/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return (
        "fault",
        str(error)[:300] if not isinstance(error, RecursionError) else "",
        f"{type(error).__name__} at {place}",
    )


def reset_peak() -> int:
    """Reset the peak of resident memory; returns the present value in kB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """Peak resident memory in kB since the last reset."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
