"""Stratified splits that never divide a group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trishift.data.lists.text import csv_rows, stream_lines
from trishift.data.parts import split_part
from trishift.errors import DataError, shortened
from trishift.io.regular import is_file

_SHOWN = 20  # columns in a message


def group_clips(directory: Path, paths: Sequence[Path], groups: str | None) -> list[str]:
    """The group of every clip; clips of one group (a recording, a person) stay together.

    Args:
        directory: folder that the paths are relative to.
        paths: the clips.
        groups: `FILE.csv:COLUMN`, a table with a column `path` (relative to `directory`, where the file is also
            searched); or a regular expression matched against the clip's path, whose first capture group (or whole
            match) is the group; None for one group per clip.

    Raises:
        DataError: the table or the expression is invalid, or does not cover a clip.
    """
    names = [path.as_posix() for path in paths]
    if groups is None:
        return names
    file, _, column = groups.rpartition(":")
    if file.endswith(".csv"):
        table = _read_column(directory, file, column)
        keys = [name if name in table else _whole(directory, name) for name in names]
        missing = next((name for name in keys if name not in table), None)
        if missing is not None:
            raise DataError(f"{file}: no line for {missing}; add it, with the path relative to {directory}")
        return [table[name] for name in keys]
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise DataError(f"groups: {groups!r} is neither a regular expression ({error}) nor FILE.csv:COLUMN") from None
    matches = [pattern.search(name) for name in names]
    missing = next((name for name, match in zip(names, matches, strict=True) if match is None), None)
    if missing is not None:
        raise DataError(f"groups: {groups!r} does not match {missing}; every clip needs a group")
    return [match[1 if pattern.groups else 0] or "" for match in matches if match is not None]


def _whole(directory: Path, name: str) -> str:
    """The path of the video that a part belongs to."""
    return name if split_part(directory / name)[1] is None else name.rpartition("#")[0]


def _read_column(directory: Path, file: str, column: str) -> dict[str, str]:
    path = Path(file) if is_file(file) else directory / file
    rows = csv_rows(path, stream_lines(path))
    header = next(rows, (None, []))[1]
    if not header:
        return {}
    for name in ("path", column):
        if name not in header:
            shown = ", ".join(header[:_SHOWN]) + (", ..." if len(header) > _SHOWN else "")
            raise DataError(f"{path}: no column {name!r}; its columns are {shortened(shown)}")
    place, of_group = header.index("path"), header.index(column)
    table = {}
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(f"{path}:{line.number}: {len(row)} columns instead of {len(header)}; complete the line")
        table[row[place].strip()] = row[of_group].strip()
    return table


def split_by_labels(
    labels: Sequence[tuple[int, ...]], groups: Sequence[str], shares: Sequence[float], seed: int
) -> np.ndarray:
    """Assign groups to parts like `split`, for clips with one label or several: each counts for all of its classes."""
    rows = [(label, group) for of_clip, group in zip(labels, groups, strict=True) for label in of_clip]
    part_of = split([label for label, _ in rows], [group for _, group in rows], shares, seed)
    of_group = {group: part for (_, group), part in zip(rows, part_of, strict=True)}
    return np.array([of_group[group] for group in groups], np.int64)


def split(classes: Sequence[int], groups: Sequence[str], shares: Sequence[float], seed: int) -> np.ndarray:
    """Assign groups to parts so that each part gets its share of every class, as closely as groups allow.

    Greedy: groups are taken in random order, large ones first. Each goes to the part where it most reduces the
    squared distance between class counts and targets, relative to the part's share.

    Args:
        classes: (N,) class index per clip.
        groups: (N,) group per clip.
        shares: (P,) share per part, summing to 1.
        seed: seed of the random order.

    Returns:
        (N,) int64 part index per clip.
    """
    names, group_of = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    counts = np.zeros((len(names), max(classes) + 1))
    np.add.at(counts, (group_of, np.asarray(classes)), 1)
    share = np.asarray(shares, float)
    targets = share[:, None] * counts.sum(axis=0)
    weights = 1 / (share[:, None] * np.maximum(counts.sum(axis=0), 1))
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    filled, part_of = np.zeros_like(targets), np.empty(len(names), np.int64)
    for group in order:
        gap = filled - targets
        cost = (((gap + counts[group]) ** 2 - gap**2) * weights).sum(axis=1)
        part_of[group] = np.argmin(np.round(cost, 9))  # rounded: ties must be the same on every machine
        filled[part_of[group]] += counts[group]
    return part_of[group_of]
