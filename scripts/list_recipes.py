"""Write the tables of docs/recipes.md from the headers of the recipes under configs/.

    python scripts/list_recipes.py

A recipe's header is the comment that its file begins with: a title, then fields (`# Source:    ...`), whose
following lines are indented. A recipe has the fields of its bases that it does not write itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from trishift.recipe.finding import shipped_recipes

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
DOCUMENT = ROOT / "docs" / "recipes.md"
BEGIN, END = "<!-- begin: scripts/list_recipes.py -->\n", "<!-- end -->\n"
_FIELD = re.compile(r"# ([A-Z]\w+): +(\S.*)")


def recipe_files() -> list[Path]:
    """Every recipe that can be trained: no bases."""
    return [CONFIGS / f"{name}.yaml" for name in shipped_recipes()]


def read_header(path: Path) -> dict[str, str]:
    """The fields of a recipe's header and of its bases' headers, and its own title as `Title`."""
    text = path.read_text(encoding="utf-8")
    bases = (yaml.safe_load(text) or {}).get("base", [])
    fields: dict[str, str] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        fields |= read_header(path.parent / base)
    fields["Title"] = ""
    name = "Title"
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if match := _FIELD.fullmatch(line):
            name = match[1]
            fields[name] = match[2]
        elif words := line.removeprefix("#").strip():
            fields[name] = f"{fields[name]} {words}".strip().replace(" \\ ", " ")
    return fields


def tables() -> str:
    """A table for every folder of recipes."""
    return "\n".join("\n".join(_table(folder)) + "\n" for folder in sorted({path.parent for path in recipe_files()}))


def _table(folder: Path) -> Iterator[str]:
    yield f"### configs/{folder.name}\n"
    yield "| recipe | description | published | protocol | source |"
    yield "|---|---|---|---|---|"
    for path in recipe_files():
        if path.parent == folder:
            header = read_header(path)
            published = header.get("Published") or header.get("Expected", "")
            cells = (f"[{path.stem}](../configs/{folder.name}/{path.name})", header["Title"].rstrip("."), published)
            yield "| " + " | ".join((*cells, header["Protocol"], header["Source"])) + " |"


def document(text: str) -> str:
    """The document with new tables between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"error: {DOCUMENT} lacks the line {BEGIN.strip()} or {END.strip()}")
    return before + BEGIN + "\n" + tables() + "\n" + END + after


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
