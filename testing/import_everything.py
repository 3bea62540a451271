"""Import every module of an installed Trishift, except the backends of frameworks that are not installed.

python import_everything.py
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import trishift
from trishift.backends import MODULES


def modules() -> list[str]:
    """The names of all modules that must import here."""
    folder = Path(trishift.__file__).parent
    absent = [folder / "backends" / name for name, module in MODULES.items() if not importlib.util.find_spec(module)]
    files = sorted(path for path in folder.rglob("*.py") if path.stem not in ("__init__", "__main__"))
    here = (path for path in files if path.parent not in absent)
    return [".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in here]


if __name__ == "__main__":
    names = modules()
    for name in names:
        importlib.import_module(name)
    print(f"{len(names)} modules of {trishift.__file__}")
