"""Writes a reader's seeds and deliberate inputs: `python -m benchmarks.reliability.inputs READER FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.reliability.readers import readers


def main() -> None:
    """Write them into FOLDER/seeds and FOLDER/hostile."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    reader = readers()[name]
    for part, write in (("seeds", reader.seeds), ("hostile", reader.hostile)):
        (folder / part).mkdir()
        write(folder / part)


if __name__ == "__main__":
    main()
