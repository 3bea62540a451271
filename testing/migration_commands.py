"""The commands of docs/migration.md."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "migration.md"


def rows() -> list[tuple[str, str]]:
    """(original, Trishift) of every table."""
    lines = (line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| "))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(row[0], row[1]) for row in cells if row[0] != "original"]


def commands() -> list[str]:
    """The command lines of the right-hand columns."""
    return [command for _, ours in rows() for command in re.findall(r"`([^`]+)`", ours) if " " in command]
