"""Predictions for a long list, written as they come and continued by a repeated command; see `io.jobs`.

The file grows if its format can; otherwise the lines of `.OUTPUT.rows.jsonl` become the file in the end. Videos that
cannot be read are listed in `OUTPUT.missing.csv` with the reason, which is a list that can be predicted again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from trishift.evaluation.missing import missing_of, missing_rows
from trishift.evaluation.predicting import Results
from trishift.evaluation.prediction import Miss, Prediction
from trishift.evaluation.prediction_files import GROWING, LINES, encode_rows, read_rows, write_rows
from trishift.io.jobs import Job, open_job

MISSED = "missed"  # count of a job


@contextmanager
def open_prediction_job(
    output: Path | None, settings: Mapping[str, object], total: int, *, top_k: int, restart: bool = False
) -> Iterator[PredictionJob]:
    """Open the job that predicts a list; see `io.jobs.open_job`.

    Args:
        output: the file of predictions, see `prediction_files`; None: nothing is written.
        settings: identify the job, as JSON types.
        total: number of videos.
        top_k: classes per video.
        restart: forget earlier predictions.

    Raises:
        OutputError: another process writes the file; or, unless `restart`, it exists and is not of this job.
    """
    if output is None:
        yield PredictionJob(total)
        return
    rows = output if output.suffix in GROWING else output.with_name(f".{output.name}.rows{LINES}")
    settings = {**settings, "top_k": top_k}
    with open_job(output, (rows, missing_of(output)), settings, total, restart=restart) as job:
        yield _WrittenJob(job, rows, top_k)


class PredictionJob:
    """Predictions for the numbers of a list, which are counted; see `open_prediction_job`.

    Attributes:
        counts: sums of the counts given with the results, and how many were missed.
        finished: whether nothing is left to do.
    """

    def __init__(self, total: int) -> None:
        self.counts: Counter[str] = Counter()
        self.finished = False
        self._total = total

    @property
    def done(self) -> int:
        """How many videos were done before."""
        return 0

    def pending(self) -> np.ndarray:
        """The numbers of the videos that are not done, ascending."""
        return np.arange(self._total)

    def add(self, results: Results, counts: Mapping[str, int]) -> None:
        """Add the results of some videos by their numbers, and counts of theirs.

        Raises:
            OutputError: the operating system refuses (full disk); the results before stay.
        """
        self.counts.update(counts)
        self.counts[MISSED] += sum(isinstance(result, Miss) for _, result in results)

    def finish(self) -> None:
        """Complete the file.

        Raises:
            OutputError: it cannot be written; a repeated command tries again.
        """
        self.finished = True


class _WrittenJob(PredictionJob):
    """Predictions that are written."""

    def __init__(self, job: Job, rows: Path, top_k: int) -> None:
        super().__init__(job.total)
        self.counts, self.finished = Counter(job.counts), job.finished
        self._job, self._rows, self._top_k = job, rows, top_k

    @property
    def done(self) -> int:
        return self._job.done

    def pending(self) -> np.ndarray:
        return self._job.pending()

    def add(self, results: Results, counts: Mapping[str, int]) -> None:
        rows = [result.to_dict(self._top_k) for _, result in results if isinstance(result, Prediction)]
        misses = [result for _, result in results if isinstance(result, Miss)]
        predicted = encode_rows(rows, self._rows.suffix, first=not self._job.sizes[0]) if rows else b""
        missing = missing_rows(misses, header=not self._job.sizes[1]) if misses else b""
        super().add(results, counts)
        self._job.add([number for number, _ in results], (predicted, missing), self.counts)

    def finish(self) -> None:
        output = self._job.output
        if output != self._rows:
            write_rows(read_rows(self._rows) if self._rows.exists() else (), output)
        self._job.finish()
        if output != self._rows:
            self._rows.unlink(missing_ok=True)
        super().finish()
