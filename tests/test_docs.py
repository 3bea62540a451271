"""The guides: links lead somewhere, commands parse, and SECURITY.md names code and tests that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import parse
from tests.support.paths import ROOT

GUIDES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
COMMAND = re.compile(r" *(?:trishift|python (?:train|eval|infer|export)\.py) .*")
PLACEHOLDERS = re.compile(r"\[--|\[PRETRAINED\]|prepare NAME")  # syntax lines, not commands


def anchors(guide: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", guide.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def command_lines() -> Iterator[tuple[str, str]]:
    """(page, command) of the indented and fenced lines that run the program."""
    for guide in GUIDES:
        text = guide.read_text("utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            if COMMAND.fullmatch(line) and not PLACEHOLDERS.search(line):
                yield guide.name, line.strip()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_links_lead_somewhere(guide: Path) -> None:
    for target, anchor in LINK.findall(guide.read_text("utf-8")):
        path = guide.parent / target if target else guide
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize(("guide", "line"), command_lines())
def test_commands_parse(guide: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line, comments=True)
    parse(monkeypatch, words[1:] if words[0] == "trishift" else [Path(words[1]).stem, *words[2:]])


def test_the_guides_have_commands() -> None:
    assert len(list(command_lines())) > 40


def test_security_names_code_and_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    modules = re.findall(r"`((?:checkpoints|data|evaluation|io|recipe|zoo)/[\w/]+\.py)`", text)
    tests = re.findall(r"`(tests/[\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)", text)
    assert len(modules) > 10 and len(tests) > 8
    assert all((ROOT / "src" / "trishift" / module).is_file() for module in modules)
    for path, names in tests:
        source = (ROOT / path).read_text("utf-8")
        for name in re.findall(r"\w+", names):
            assert f"def {name}(" in source, f"{path}: {name}"
