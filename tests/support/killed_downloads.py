"""`python killed_downloads.py SERVER SHA256`: download a file again and again, killed at random moments.

After each kill, the file is missing or complete. Prints the number of kills, and of downloads that were complete
nevertheless. Then, two processes download another file at the same time.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time

import pooch  # noqa: F401  loaded before the forks
import requests  # noqa: F401

from trishift.zoo.fetching import Wanted, obtain, wanted_address


def start(wanted: Wanted) -> int:
    """Start a process that downloads a file."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        obtain(wanted)
        os._exit(0)
    return child


def main(server: str, digest: str) -> None:
    wanted, kills, complete, moments = wanted_address(f"{server}/w.pth"), 0, 0, random.Random(0)
    began = time.monotonic()
    os.waitpid(start(wanted), 0)
    usual = time.monotonic() - began  # on this machine, as busy as it is
    wanted.target.unlink()
    while kills < 20:
        child = start(wanted)
        time.sleep(moments.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if wanted.target.is_file():
            assert hashlib.sha256(wanted.target.read_bytes()).hexdigest() == digest
            wanted.target.unlink()
            complete += 1
    assert hashlib.sha256(obtain(wanted).read_bytes()).hexdigest() == digest
    both = [start(wanted_address(f"{server}/w.pth?twice")) for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in both] == [0, 0]
    print(kills, complete)


if __name__ == "__main__":
    main(*sys.argv[1:])
