"""The guides: links lead somewhere, commands parse, and SECURITY.md names code and tests that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.support.command_line import parse
from tests.support.guides import PAGES, command_lines, name
from tests.support.paths import ROOT

LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def anchors(guide: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", guide.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("guide", PAGES, ids=name)
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
    for path, functions in tests:
        source = (ROOT / path).read_text("utf-8")
        for function in re.findall(r"\w+", functions):
            assert f"def {function}(" in source, f"{path}: {function}"


def test_site_lists_every_page() -> None:
    listed = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    made = {"index.md", "zh/index.md", "commands.md", "contributing.md", "security.md", "changelog.md"}
    written = {name(page).removeprefix("docs/") for page in PAGES if page.parent != ROOT}
    assert len(listed) == len(set(listed)) and set(listed) == made | written
