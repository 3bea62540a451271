"""Long jobs over a numbered list that a repeated command continues, however they ended.

Results are appended to growing files as they come. A small journal beside the output, `.OUTPUT.job.jsonl`, records
which numbers are done and how long the files were then; a later start cuts what came after, so that every number's
result is there exactly once, after kill -9 and full disks, too. The journal's first line identifies the job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from itertools import count
from pathlib import Path

import numpy as np

from trishift.errors import OutputError
from trishift.io.line_files import GrowingFile, LineFile, Record, changed_setting, open_lines

_LOG = logging.getLogger(__name__)
_VERSION = 1
_SECONDS_BETWEEN_RECORDS = 1.0  # work that a kill can cost
_SECONDS_BETWEEN_SYNCS = 10.0  # work that a power cut can cost


def journal_of(output: Path) -> Path:
    """The journal of the job that writes an output."""
    return output.with_name(f".{output.name}.job.jsonl")


@contextmanager
def open_job(
    output: Path, files: Sequence[Path], settings: Mapping[str, object], total: int, *, restart: bool = False
) -> Iterator[Job]:
    """Open a job for one process at a time; nothing is written before its first results.

    Args:
        output: what the job makes: one of the growing files, or a file that is made of them in the end.
        files: the files that grow.
        settings: identify the job, as JSON types.
        total: length of the list.
        restart: forget earlier results.

    Raises:
        OutputError: another process runs it; or, unless `restart`, the output exists and is not of this job, nor the
            complete one of another, which is renamed.
    """
    journal = journal_of(output)
    is_new = not journal.exists()
    with open_lines(journal, subject=output) as lines:
        try:
            job = Job(output, lines, files, {"job": _VERSION, **settings, "total": total}, restart=restart)
            try:
                yield job
            finally:
                job.close()
        except BaseException:
            if is_new and not lines.size:
                journal.unlink(missing_ok=True)
            raise


class Job:
    """A job and what is done of it; see `open_job`.

    Attributes:
        output: what the job makes.
        total: length of the list.
        finished: whether the output is complete.
        counts: those given last.
        sizes: bytes in each growing file.
    """

    def __init__(
        self, output: Path, journal: LineFile, files: Sequence[Path], header: Record, *, restart: bool = False
    ) -> None:
        self.output, self.total, self.finished = output, int(header["total"]), False
        self.counts: dict[str, int] = {}
        self.sizes = [0] * len(files)
        self._journal, self._paths, self._header = journal, files, header
        self._files: list[GrowingFile] = []
        self._begun = False
        self._done = np.zeros(header["total"], bool)
        self._new: list[list[int]] = []  # ranges that are done, but not in the journal yet
        self._kept = 0  # lines of the journal that count
        self._replaces = False  # a complete output of another job
        self._recorded = self._synced = time.monotonic()
        found = None if restart else next(iter(journal), None)
        if found is not None:
            try:
                self._resume(found)
            except (IndexError, KeyError, TypeError, ValueError):
                raise OutputError(f"{journal.path}: is damaged; start anew with --overwrite") from None
        elif not restart and output.exists() and output.stat().st_size:
            raise OutputError(f"{output}: exists; name another file, or replace it with --overwrite")

    @property
    def done(self) -> int:
        """How many numbers are done."""
        return int(self._done.sum())

    def pending(self) -> np.ndarray:
        """The numbers that are not done, ascending."""
        return np.flatnonzero(~self._done)

    def add(self, numbers: Sequence[int], contents: Sequence[bytes], counts: Mapping[str, int]) -> None:
        """Append the results of some numbers.

        Args:
            numbers: what is done by them.
            contents: what each growing file gets: all of them, or none.
            counts: counts of the whole job, which the next start finds.

        Raises:
            OutputError: the operating system refuses (full disk); the results before stay.
        """
        self._begin()
        try:
            for file, content in zip(self._files, contents, strict=True):
                file.append(content)
        except OutputError:
            for file, size in zip(self._files, self.sizes, strict=True):
                file.cut(size)
            with suppress(OutputError):
                self._record()
            raise
        self.sizes = [size + len(content) for size, content in zip(self.sizes, contents, strict=True)]
        self.counts = dict(counts)
        self._note(numbers)
        if time.monotonic() - self._recorded > _SECONDS_BETWEEN_RECORDS:
            self._record()

    def finish(self) -> None:
        """Mark the output as complete; empty files beside it are removed.

        Raises:
            OutputError: the journal cannot be written.
        """
        self._begin()
        self._record()
        for file in self._files:
            file.sync()
        self._journal.add({"finished": self.output.stat().st_size, "counts": self.counts})
        self.finished = True
        for path, size in zip(self._paths, self.sizes, strict=True):
            if not size and path != self.output:
                path.unlink(missing_ok=True)

    def undo(self, numbers: Sequence[int]) -> None:
        """Take back that some numbers are done; only before results are added."""
        self._done[list(numbers)] = False
        self._kept, self._new = 0, []  # the journal begins anew, with what is left
        self._note(np.flatnonzero(self._done).tolist())

    def forget(self) -> None:
        """Remove the journal of a job whose results need none: the next one starts anew."""
        self._new, self.finished = [], True
        self._journal.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Record what is done and close the files."""
        with suppress(OutputError):  # what is not recorded is computed again
            self._record()
        for file in self._files:
            file.close()

    def _resume(self, header: Record) -> None:
        records = list(self._journal)[1:]
        is_complete = bool(records) and "finished" in records[-1] and self.output.exists()
        if header != self._header:
            other = f"was begun with {changed_setting(header, self._header)}" if "job" in header else "has no journal"
            if not is_complete:
                raise OutputError(f"{self.output}: {other}; name another file, or start anew with --overwrite")
            _LOG.warning("%s: %s; it is complete and will be kept as %s", self.output, other, _free_name(self.output))
            self._replaces = True
            return
        if is_complete:
            self._check_finished(records[-1])
            return
        actual = [path.stat().st_size if path.exists() else 0 for path in self._paths]
        self._kept = 1
        for record in records:
            if "finished" in record or any(size > found for size, found in zip(record["sizes"], actual, strict=True)):
                break  # the files are older: after a power cut, or somebody removed them
            self.sizes, self.counts = record["sizes"], record["counts"]
            for start, end in record["done"]:
                self._done[start:end] = True
            self._kept += 1

    def _check_finished(self, record: Record) -> None:
        if self.output.stat().st_size != record["finished"]:
            raise OutputError(
                f"{self.output}: was changed after it was finished; name another file, or replace it with --overwrite"
            )
        self.finished, self.counts = True, record["counts"]
        self._done[:] = True

    def _note(self, numbers: Sequence[int]) -> None:
        """Count numbers as done, for the next record."""
        for number in numbers:
            self._done[number] = True
            if self._new and self._new[-1][1] == number:
                self._new[-1][1] = number + 1
            else:
                self._new.append([number, number + 1])

    def _begin(self) -> None:
        """Remove what does not count, before the first results are added."""
        if self._begun:
            return
        if self._replaces:
            _set_aside(self.output, self._paths)
        self._begun = True
        self._journal.keep(self._kept)
        if not self._kept:
            self._journal.add(self._header)
        self._files = [GrowingFile(path, FileIO(path, "a+")) for path in self._paths]
        for file, size in zip(self._files, self.sizes, strict=True):
            file.cut(size)

    def _record(self) -> None:
        """Add what is done to the journal."""
        if not self._new or not self._begun:
            return
        self._recorded = time.monotonic()
        if self._recorded - self._synced > _SECONDS_BETWEEN_SYNCS:
            self._synced = self._recorded
            for file in self._files:
                file.sync()
        self._journal.add({"done": self._new, "sizes": self.sizes, "counts": self.counts})
        self._new = []


def _free_name(output: Path) -> Path:
    """OUTPUT.1.json, or the next number that is free."""
    names = (output.with_name(f"{output.stem}.{number}{output.suffix}") for number in count(1))
    return next(name for name in names if not name.exists())


def _set_aside(output: Path, files: Sequence[Path]) -> None:
    """Rename an output and the files that are named after it."""
    kept = _free_name(output)
    for path in {output, *files}:
        if path.exists():
            path.rename(path.with_name(path.name.replace(output.name, kept.name)))
