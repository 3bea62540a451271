"""Processes of their own for what cannot run in the tests': MindSpore dies where another framework was imported first.

`python` runs a module or a script. For a file of tests, `names = names_of_tests(FILE)`, then
`outcomes(FILE, folder)[name]` is "" or what went wrong.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.support.paths import ROOT

TIMEOUT = 1800  # seconds: ends what hangs, not what a busy machine slows down


def environment() -> dict[str, str]:
    """The environment of a child process that imports `trishift` and `tests`."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # all is small: threads would wait for each other
    return {**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def python(*arguments: object, folder: Path = ROOT, **variables: str) -> str:
    """Run `python ARGUMENTS` in a folder, with more environment variables.

    Returns:
        What it printed.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    command = [sys.executable, *map(str, arguments)]
    variables = {**environment(), **variables}
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"status {done.returncode} of {arguments}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def names_of_tests(file: Path) -> list[str]:
    """The test functions of a file, read without importing it."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def outcomes(file: Path, folder: Path) -> dict[str, str]:
    """Run the tests of a file; test function to what failed in it, which is empty if all of its cases passed."""
    report = folder / f"{file.stem}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(file)]
    run = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    if not report.is_file():
        raise RuntimeError(f"{file.name} did not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        texts = [node.text or "" for kind in ("failure", "error") for node in case.iter(kind)]
        found[name] = "\n".join(filter(None, [found.get(name, ""), *texts]))
    return found
