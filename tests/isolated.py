"""Runs a file of tests in a pytest process of its own: MindSpore dies where another framework was imported first.

`names = test_names(FILE)`, then `outcomes(FILE, folder)[name]` is "" or what went wrong.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """The environment of a child process that imports `trishift` and `tests`."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def test_names(file: Path) -> list[str]:
    """The test functions of a file, read without importing it."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


test_names.__test__ = False  # type: ignore[attr-defined]


def outcomes(file: Path, folder: Path, timeout: float = 600) -> dict[str, str]:
    """Run the tests of a file; test function to what failed in it, which is empty if all of its cases passed."""
    report = folder / f"{file.stem}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(file)]
    run = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    if not report.is_file():
        raise RuntimeError(f"{file.name} did not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        texts = [node.text or "" for kind in ("failure", "error") for node in case.iter(kind)]
        found[name] = "\n".join(filter(None, [found.get(name, ""), *texts]))
    return found
