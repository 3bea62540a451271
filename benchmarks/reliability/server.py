"""Runs commands in forks of a process that has imported a framework.

    python -m benchmarks.reliability.server FRAMEWORK

Reads one JSON line per command, `{"arguments": [...], "log": PATH}`, and prints its process number, then its status
and its processor time in seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

_MODULES = {
    "pytorch": ("torch",),
    "mindspore": ("mindspore",),
    "paddle": ("paddle",),
    "none": (),
}
_PARTS = ("session", "recognizer", "losses", "optimizer", "device", "tensors")
_COMMANDS = ("trishift.training.run", "trishift.data.video", "trishift.data.prepare", "trishift.checkpoints")


def main() -> None:
    """Import, then serve until the input ends."""
    framework = sys.argv[1]
    parts = [f"trishift.backends.{framework}.{part}" for part in _PARTS] if framework != "none" else []
    for name in (*_MODULES[framework], *parts, *_COMMANDS, "tensorboardX", "pydantic"):
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            _run(request["arguments"], request["log"])
        print(process, flush=True)
        _, status, usage = os.wait4(process, 0)
        print(status, usage.ru_utime + usage.ru_stime, flush=True)


def _run(arguments: list[str], log: str) -> None:
    """Run a command of `trishift` and end the process."""
    from trishift.cli import main as trishift

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    status = 70
    try:
        trishift(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
