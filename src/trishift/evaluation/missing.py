"""The videos of a list that cannot be read, in a file beside the output that is a list itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from trishift.data.lists.writing import csv_line
from trishift.evaluation.prediction import Miss
from trishift.evaluation.shards import Shard
from trishift.io.atomic import write_atomically
from trishift.io.line_files import GrowingFile

SHOWN = 20  # of them are named at the end
_LINE_BREAK = re.compile(r"[\n\r]")


def missing_of(output: Path) -> Path:
    """The file that lists the videos that could not be read."""
    return output.with_name(f"{output.name}.missing.csv")


def missing_in(folder: Path, name: str, shard: Shard) -> Path:
    """The same for a shard of a job that writes a file per video to a folder."""
    part = "" if shard.count == 1 else f"-{shard.index}-of-{shard.count}"
    return missing_of(folder / f"{name}{part}")


def missing_rows(misses: Sequence[Miss], *, header: bool) -> bytes:
    r"""Rows of the file, whose header names the columns path and reason.

    Line breaks in names are escaped: no list can hold them, and they would spoil the other rows.
    """
    rows = [*([("path", "reason")] if header else []), *misses]
    return "".join(f"{_LINE_BREAK.sub(_escaped, csv_line(row))}\n" for row in rows).encode("utf-8", "surrogateescape")


def _escaped(line_break: re.Match[str]) -> str:
    return {"\n": r"\n", "\r": r"\r"}[line_break[0]]


class Misses:
    """The videos that one run cannot read, of outputs that are a file per video.

    Args:
        file: lists them as they come, and is removed if all can be read now; None: they are counted only.

    Attributes:
        count: number of them.
        first: the first few.
    """

    def __init__(self, file: Path | None) -> None:
        self.file, self.count = file, 0
        self.first: list[Miss] = []

    def add(self, miss: Miss) -> None:
        """Add a video.

        Raises:
            OutputError: the file cannot be written.
        """
        if self.file is not None:
            content = missing_rows([miss], header=not self.count)
            if self.count:
                with self.file.open("ab", buffering=0) as file:
                    GrowingFile(self.file, file).append(content)
            else:
                write_atomically(self.file, lambda file: file.write(content))
        self.count += 1
        if self.count <= SHOWN:
            self.first.append(miss)

    def close(self) -> None:
        """Remove the file of an earlier run if no video is missed any more."""
        if self.file is not None and not self.count:
            self.file.unlink(missing_ok=True)
