"""Check that random access returns the same frames as full decoding, for every video under a folder.

    python -m benchmarks.frame_exactness DIR [--seed 0]

Prints one line per file that differs or cannot be read, then a summary. Exits with status 1 if any file differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from testing.frame_exactness import compare

from trishift.errors import DataError

_NO_VIDEOS = {".jpg", ".jpeg", ".png", ".txt", ".md", ".csv", ".json", ".pt", ".py"}


def main() -> int:
    """Check all files of a folder; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    files = sorted(p for p in arguments.folder.rglob("*") if p.is_file() and p.suffix.lower() not in _NO_VIDEOS)
    exact = different = unreadable = 0
    for path in files:
        try:
            problem = compare(path, np.random.default_rng(arguments.seed))
        except DataError as error:
            unreadable += 1
            print(f"unreadable  {error}", flush=True)
            continue
        if problem is None:
            exact += 1
        else:
            different += 1
            print(f"DIFFERENT   {path}: {problem}", flush=True)
    print(f"{len(files)} files: {exact} exact, {different} different, {unreadable} unreadable")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
