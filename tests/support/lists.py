"""Helpers to compare and modify lists of clips."""

from __future__ import annotations

from pathlib import Path

from trishift.data.lists import read_list


def listed(path: Path, root: Path | None = None) -> list[tuple[str, int | None, tuple[int, ...]]]:
    """(path below the list's folder, frames, labels) of a list."""
    return [
        (record.path.relative_to(root or path.parent).as_posix(), record.num_frames, record.labels)
        for record in read_list(path, root)
    ]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def listed_anywhere(path: Path) -> list[tuple[Path, int | None, tuple[int, ...]]]:
    return [(record.path, record.num_frames, record.labels) for record in read_list(path)]
