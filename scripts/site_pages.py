"""A hook of MkDocs: pages that come from elsewhere, and links that lead out of docs/.

The readmes become the front pages, and the other pages of the top folder and the help of the commands become pages.
Links between them work in the repository and on the site.
"""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import re
from pathlib import Path
from typing import Any
from unittest import mock

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/trishift/trishift/blob/main"
PAGES = {  # of the top folder, by their names on the site
    "README.md": "index.md",
    "README.zh-CN.md": "zh/index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
_FRONT = "---\nhide: [navigation, toc]\n---\n"
_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#]+)")
_SWITCH = re.compile(r"^.*English.*\|.*简体中文.*\n", re.MULTILINE)  # the site has its own


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in PAGES.items():
        text = _SWITCH.sub("", (ROOT / source).read_text("utf-8"))
        front = _FRONT if page.endswith("index.md") else ""
        files.append(File.generated(config, page, content=front + relink(text, "", posixpath.dirname(page))))
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links that leave docs/ at the site's page of that file, or else at the repository."""
    folder = posixpath.dirname(page.file.src_uri)
    return relink(markdown, posixpath.join("docs", folder), folder) if page.file.generated_by is None else markdown


def on_page_context(context: Any, page: Any, config: Any, **_: Any) -> Any:
    """Let the theme speak the language of the page that is rendered next."""
    config.theme["language"] = "zh" if page.url.startswith("zh/") else "en"
    return context


def relink(markdown: str, source: str, target: str) -> str:
    """Links of a page in the folder `source` of the repository as those of a page in the folder `target` of docs/."""

    def moved(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(source, link[1]))
        inside = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        return posixpath.relpath(inside, target or ".") if inside else f"{REPOSITORY}/{path}"

    return _LINK.sub(moved, markdown)


def commands() -> str:
    """The help of every command as a page."""
    from trishift.cli import ALIASES, COMMANDS

    parts = ["# Commands\n\n`trishift COMMAND --help` prints the same."]
    for name, summary in COMMANDS.items():
        names = ", ".join(f"`trishift {alias}`" for alias, command in ALIASES.items() if command == name)
        also = f" Also {names}." if names else ""
        parts.append(f"## {name}\n\n{summary.capitalize()}.{also}\n\n```text\n{help_of(name).rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def help_of(command: str) -> str:
    """The text of `trishift COMMAND --help`, as wide as a page shows it."""
    from trishift.cli import main

    wide = mock.patch.dict(os.environ, COLUMNS="96")
    with wide, contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        main([command, "--help"])
    return text.getvalue()
