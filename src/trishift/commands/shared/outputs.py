"""Status lines, checks of output paths before any work, and the report of unreadable videos after it."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from trishift.errors import DataError, OutputError
from trishift.io.atomic import check_writable
from trishift.io.terminal import printable
from trishift.io.wording import counted


def status(text: object) -> None:
    """Print a line about the work, apart from its results, to stderr."""
    print(text, file=sys.stderr, flush=True)


def add_json(parser: argparse.ArgumentParser | argparse._ArgumentGroup, content: str = "the result as JSON") -> None:
    """Add `--json`; run the command within `notes_aside` and end it with `print_json`."""
    parser.add_argument("--json", action="store_true", help=f"print {content}, and everything else to stderr")


@contextmanager
def notes_aside(options: argparse.Namespace) -> Iterator[None]:
    """With `--json`, whatever is printed meanwhile goes to stderr, so that stdout is JSON alone."""
    if not options.json:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def print_json(content: Any) -> None:
    """Print a value as one line of JSON; numbers that are not finite become null, as JSON has none."""
    print(json.dumps(_plain(content), ensure_ascii=False, default=str), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def check_file(path: Path, suffixes: Collection[str]) -> None:
    """Refuse an output file that could not be written later. Makes no folders.

    Raises:
        OutputError: another suffix, a folder of that name, or the system refuses to write there.
    """
    check_suffix(path, suffixes)
    check_writable(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file inside it")


def check_suffix(path: Path, suffixes: Collection[str]) -> None:
    """Refuse an output file of an unknown format.

    Raises:
        OutputError: another suffix.
    """
    if path.suffix not in suffixes:
        raise OutputError(f"{path}: unknown format {path.suffix!r}; use {', '.join(suffixes)}")


def check_folder(path: Path) -> None:
    """Refuse an output folder in which nothing could be written later. Does not make it.

    Raises:
        OutputError: there is a file of that name, or the system refuses to write there.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is a file; name a folder")
    check_writable(path / "output")


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Add `--strict`."""
    text = "exit with status 1 if any video is unreadable, or if the form of the model in --runtime and --precision "
    parser.add_argument("--strict", action="store_true", help=f"{text}cannot be made")


def report_misses(
    misses: Sequence[tuple[str, str]],
    total: int,
    *,
    strict: bool,
    count: int | None = None,
    file: Path | None = None,
) -> None:
    """Warn about unreadable videos, one per line.

    Args:
        misses: (name, reason) of them, or of the first few.
        total: number of videos.
        strict: make it an error.
        count: number of the unreadable ones, if `misses` are not all.
        file: lists all of them.

    Raises:
        DataError: no video could be read, or `strict` and one could not.
    """
    from trishift.evaluation.missing import SHOWN

    count = len(misses) if count is None else count
    if not count:
        return
    shown = [reason for _, reason in misses[:SHOWN]]
    where = f", all listed in {file}" if file is not None else ""
    summary = f"{count} of {counted(total, 'video')} could not be read"
    if strict or count == total:
        raise DataError(f"{summary}{where}: {'; '.join(shown)}")
    print(f"warning: {summary}{where}; --strict makes this an error", file=sys.stderr)
    for reason in shown:
        print(f"  {printable(reason)}", file=sys.stderr)
    if shown and count > len(shown):
        print(f"  and {count - len(shown)} more", file=sys.stderr)
