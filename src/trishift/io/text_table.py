"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """The rows as lines, with columns two spaces apart.

    Args:
        rows: equally many cells each.
        sides: `<` or `>` per column, where its cells are aligned; the last one is for all further columns.

    Example:
        >>> from trishift.io.text_table import aligned
        >>> aligned([["a", "10"], ["total", "9"]], "<>")
        ['a      10', 'total   9']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = sides.ljust(len(widths), sides[-1])
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=False)).rstrip()
        for row in rows
    ]
