"""Phrases of messages: numbers with their nouns, and suggestions for misspelled words and missing files."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_MOST_NEIGHBORS = 10_000  # names of a folder that are compared with a missing one


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun, or with a noun and its verb.

    Args:
        number: the number.
        one: the words after 1.
        many: the words after any other number; None: the plural of `one`.

    Example:
        >>> from trishift.io.wording import counted
        >>> counted(1, "clip"), counted(2, "class"), counted(8, "epoch"), counted(0, "clip is", "clips are")
        ('1 clip', '2 classes', '8 epochs', '0 clips are')
    """
    hissing = one.endswith(("s", "x", "tch", "sh"))  # but epochs
    plural = many or one + ("es" if hissing else "s")
    return f"{number} {one if number == 1 else plural}"


def spell_time(seconds: float) -> str:
    """`40s`, `12m` or `2.5h`, rounded up."""
    if seconds < 90:
        return f"{math.ceil(seconds)}s"
    return f"{math.ceil(seconds / 60)}m" if seconds < 5400 else f"{math.ceil(seconds / 360) / 10:g}h"


def shown_first(names: Sequence[object], most: int) -> str:
    """The first names separated by commas, and the number of the others."""
    rest = len(names) - most
    return ", ".join(map(str, names[:most])) + (f" and {rest} more" if rest > 0 else "")


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a message about an unknown word: `; did you mean 'X'?`, or nothing if no known word is similar.

    Example:
        >>> from trishift.io.wording import did_you_mean
        >>> did_you_mean("pytroch", ["pytorch", "paddle"]), did_you_mean("zebra", ["pytorch", "paddle"])
        ("; did you mean 'pytorch'?", '')
    """
    close = nearest(word, known, cutoff)
    return f"; did you mean {close!r}?" if close else ""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word most similar to a word, whatever the case; None if none is."""
    return next(iter(nearest_few(word, known, 1, cutoff)), None)


def nearest_few(word: str, known: Iterable[str], most: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known words most similar to a word, whatever the case, the most similar one first.

    Args:
        word: a word that is not known.
        known: the known words.
        most: the maximum number of words to return.
        cutoff: the least similarity, between 0 and 1.
    """
    by_key = {name.lower(): name for name in known}
    return [by_key[key] for key in difflib.get_close_matches(word.lower(), by_key, most, cutoff)]


def one_of(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown choice: the nearest one, or all of them."""
    known = list(known)
    return did_you_mean(word, known) or f"; one of {', '.join(known)}"


def nearest_path(path: Path) -> str:
    """The end of a message about a missing file: `; did you mean FOLDER/NAME?`, or nothing.

    The nearest existing folder is searched, for the part of the path that is missing in it.
    """
    folder, name = path.parent, path.name
    while not folder.is_dir() and folder != folder.parent:
        folder, name = folder.parent, folder.name
    try:
        names = [entry.name for entry, _ in zip(folder.iterdir(), range(_MOST_NEIGHBORS), strict=False)]
    except OSError:
        return ""
    namesakes = (other for other in sorted(names) if Path(other).stem == Path(name).stem)
    close = next(namesakes, None) or nearest(name, names)
    return f"; did you mean {folder / close}?" if close else ""


def unreadable(path: Path, error: OSError, remedy: str = "check the path") -> str:
    """The message about a file that cannot be read; of a missing one, with the most similar name in its folder."""
    similar = nearest_path(path) if isinstance(error, FileNotFoundError) else ""
    return f"{path}: cannot be read ({error.strerror or error}){similar or f'; {remedy}'}"


def plain(value: Any) -> str:
    """A nested value of a checkpoint or recipe as readable text, without the syntax of Python.

    Example:
        >>> from trishift.io.wording import plain
        >>> plain({"top1": 0.9, "sizes": [32, 64], "notes": None})
        'top1 0.9, sizes (32, 64), notes none'
    """
    return ", ".join(_entries(value)) if isinstance(value, Mapping) else _plain_value(value)


def _entries(values: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} {_plain_value(value)}"


def _plain_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_plain_value, value))})" if value else "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
