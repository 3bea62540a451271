"""Long jobs over lists of videos: what identifies one, and the options that continue or replace it."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trishift.checkpoints.files import sha256
from trishift.commands.shared.arguments import import_options
from trishift.data.lists import ClipList
from trishift.io.jobs import Job, journal_of, open_job
from trishift.io.regular import is_file

_SETTINGS = ("shard", "framework", "runtime", "precision", "protocol", "template", "raw")  # that change results


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add `--overwrite`."""
    text = "replace the output; without it, a repeated command continues what is unfinished"
    parser.add_argument("--overwrite", action="store_true", help=text)


def job_settings(options: argparse.Namespace, clips: ClipList, *more: str) -> dict[str, Any]:
    """Everything in a command's arguments that its results depend on, as JSON types; `more` names other options."""
    settings = {name: getattr(options, name) for name in (*_SETTINGS, *more)}
    thresholds = options.thresholds
    if thresholds is not None and is_file(thresholds):
        thresholds = sha256(thresholds)
    return {
        "list": clips.digest(),
        "checkpoint": weights_digest(options),
        **settings,
        **import_options(options),
        "thresholds": thresholds,
        "batch_size": None if options.shard == "1/1" else options.batch_size,  # on which the shard depends
    }


@contextmanager
def open_video_job(
    folder: Path | None, name: str, settings: Mapping[str, Any], outputs: Sequence[Sequence[Path]]
) -> Iterator[Job | None]:
    """Open a job that writes files per video, which a repeated command continues until all are done.

    Args:
        folder: where its journal is; None: there is no job.
        name: that of the command.
        settings: identify the job, and its journal among others in the folder.
        outputs: the files of each video. It is done only if nothing has changed them since.

    Raises:
        OutputError: another process runs it.
    """
    if folder is None:
        yield None
        return
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()
    output = folder / f"{name}-{digest[:12]}"
    before = _changed(journal_of(output))
    with open_job(output, (), settings, len(outputs)) as job:
        done = set(range(len(outputs))).difference(job.pending().tolist())
        stale = [number for number in done if not all(0 < _changed(path) <= before for path in outputs[number])]
        if stale:
            job.undo(stale)
        yield job


def _changed(path: Path) -> int:
    """When a file was changed; 0 if it does not exist."""
    return path.stat().st_mtime_ns if path.exists() else 0


def weights_digest(options: argparse.Namespace) -> str:
    """The hash of the weights or the exported model in `--checkpoint`, which are fetched."""
    return sha256(options.checkpoint.fetch())
