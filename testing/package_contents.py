"""What a wheel must contain, and what not.

python -m testing.package_contents dist/trishift-0.1.0-py3-none-any.whl
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
DATA = (
    "*.py",
    "*.txt",
    "*.yaml",
    "*.html",
    "*.css",
    "*.js",
    "*.json",
    "*.svg",
    "*.mjs",
    "*.wasm",
    "py.typed",
    "VERSION",
)


def wanted_files() -> set[str]:
    """Every module and data file of the package, by its path in the wheel."""
    package = SOURCE / "trishift"
    files = {path for pattern in DATA for path in package.rglob(pattern)}
    files |= {package / "configs" / path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    return {path.relative_to(SOURCE).as_posix() for path in files if "__pycache__" not in path.parts}


def problems(wheel: Path) -> list[str]:
    """One line per file that is missing or does not belong."""
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
    inside = {name for name in found if ".dist-info/" not in name}
    missing = [f"{wheel}: {name} is missing; see package-data in pyproject.toml" for name in wanted_files() - inside]
    return sorted([*missing, *(f"{wheel}: {name} does not belong here" for name in inside - wanted_files())])


if __name__ == "__main__":
    if found := [line for path in sys.argv[1:] for line in problems(Path(path))]:
        sys.exit("\n".join(found))
