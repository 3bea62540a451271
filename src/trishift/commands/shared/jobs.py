"""Long jobs over lists of videos: what identifies one, and the options that continue or replace it."""

from __future__ import annotations

import argparse
from typing import Any

from trishift.checkpoints.files import sha256
from trishift.commands.shared.arguments import import_options
from trishift.data.lists import ClipList
from trishift.io.regular import is_file

_SETTINGS = ("shard", "framework", "runtime", "precision", "protocol", "template", "raw")  # that change results


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add `--overwrite`."""
    text = "replace the output; without it, a repeated command continues what is unfinished"
    parser.add_argument("--overwrite", action="store_true", help=text)


def job_settings(options: argparse.Namespace, clips: ClipList) -> dict[str, Any]:
    """Everything in a command's arguments that its results depend on, as JSON types."""
    settings = {name: getattr(options, name) for name in _SETTINGS}
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


def weights_digest(options: argparse.Namespace) -> str:
    """The hash of the weights or the exported model in `--checkpoint`, which are fetched."""
    return sha256(options.checkpoint.fetch())
