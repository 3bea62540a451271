"""The pages of the documentation and the code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMAND = re.compile(r" *(?:trishift|python (?:train|eval|infer|export)\.py) .*")
PLACEHOLDERS = re.compile(r"\[--|\[PRETRAINED\]|prepare NAME")  # syntax lines, not commands
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>bash|python)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of code; `reason` says why it cannot run in a test, in a comment before the block."""

    language: str
    text: str
    reason: str | None


def name(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def command_lines() -> Iterator[tuple[str, str]]:
    """(page, command) of the indented and fenced lines of all pages that run the program."""
    for page in PAGES:
        for line in _joined(page).splitlines():
            if COMMAND.fullmatch(line) and not PLACEHOLDERS.search(line):
                yield name(page), line.strip()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of shell commands and Python of a page."""
    return [Block(found["language"], found["text"], found["reason"]) for found in _BLOCK.finditer(_joined(page))]


def steps(text: str) -> list[str]:
    """The commands of a block: each of the program's, and everything between them."""
    return list(filter(str.strip, re.split(r"^(trishift .*)$\n?", text, flags=re.MULTILINE)))


def _joined(page: Path) -> str:
    """The text of a page, in which no command continues on the next line."""
    return page.read_text("utf-8").replace("\\\n", " ")
