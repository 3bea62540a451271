"""Fonts for labels in any script: matplotlib's own, and an installed one for the characters that it lacks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from trishift.io.wording import shown_first

_LOG = logging.getLogger(__name__)
_LIKELY = ("cjk", "hans", "hei", "gothic", "noto", "unicode", "fallback")  # in names of fonts with many characters
_PLACEHOLDERS = "lastresort"  # a font of boxes only


def font_files(texts: Iterable[str]) -> list[Path]:
    """The font files that together have the characters of the texts, matplotlib's own first.

    Warns once about characters that no installed font has; they are drawn as boxes.
    """
    characters = frozenset(character for text in texts for character in text if not character.isspace())
    return [_own_font(), *_others(characters - _characters_of(_own_font()))]


@contextmanager
def label_fonts(texts: Iterable[str]) -> Iterator[None]:
    """Let matplotlib draw the texts, without its warning per missing character."""
    from matplotlib import rc_context
    from matplotlib.font_manager import FontProperties, fontManager

    families = []
    for file in font_files(texts):
        name = FontProperties(fname=file).get_name()
        if name not in fontManager.get_font_names():  # installed after matplotlib listed the fonts
            fontManager.addfont(file)
        families.append(name)
    with rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


@lru_cache(maxsize=1)
def _own_font() -> Path:
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


@lru_cache(maxsize=64)
def _others(characters: frozenset[str]) -> tuple[Path, ...]:
    """The installed font with most of the characters, if any; the first that has all of them ends the search."""
    if not characters:
        return ()
    best, found = None, frozenset[str]()
    for file in _installed():
        having = characters & _characters_of(file)
        if len(having) > len(found):
            best, found = file, having
        if found == characters:
            break
    if found != characters:
        _LOG.warning(
            "no installed font has the characters %s of the labels, so they are drawn as boxes; install one that has "
            "them, for instance the package fonts-noto-cjk",
            shown_first(sorted(characters - found), 5),
        )
    return () if best is None else (best,)


def _installed() -> list[Path]:
    """The fonts of this machine, likely ones first."""
    from matplotlib.font_manager import findSystemFonts

    files = [Path(file) for file in findSystemFonts()]
    files = [file for file in files if _PLACEHOLDERS not in file.stem.lower()]
    return sorted(files, key=lambda file: (not any(word in file.stem.lower() for word in _LIKELY), file.name))


@lru_cache(maxsize=512)
def _characters_of(file: Path) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(str(file)).get_charmap()))
    except (OSError, RuntimeError):  # damaged, or of a kind that FreeType does not read
        return frozenset()
