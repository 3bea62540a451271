"""Separate processes: MindSpore crashes in a process that imported another framework first.

`experiment` runs a module in one framework, `python` a module or a script; `suite` runs the tests of files and reports
each of them in another file.
"""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import os
import subprocess
import sys
import traceback
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from tests.support.paths import ROOT

TIMEOUT = 1800  # seconds: for hangs, not for busy machines
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # everything is small: threads would wait for each other


def environment() -> dict[str, str]:
    """The environment of a child process that imports `trishift` and `tests`."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def python(*arguments: object, folder: Path = ROOT, **variables: str) -> str:
    """Run `python ARGUMENTS` in a folder, with additional environment variables.

    Returns:
        Its standard output.

    Raises:
        RuntimeError: it failed; the message ends with its output.
    """
    command = [sys.executable, *map(str, arguments)]
    variables = {**environment(), **variables}
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"status {done.returncode} of {arguments}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def experiment(module: str, framework: str, *arguments: object) -> None:
    """Call `main(framework, *arguments)` of a module of `tests.support`, in MindSpore's process or in this one.

    Its results are files; arguments are passed as strings.

    Raises:
        RuntimeError: it failed in MindSpore's process; the message is its traceback.
    """
    call = (f"tests.support.{module}", (framework, *map(str, arguments)))
    if framework != "mindspore":
        _call(*call)
        return
    connection = _mindspore()
    connection.send(call)
    if not connection.poll(TIMEOUT):
        raise RuntimeError(f"{call} did not end within {TIMEOUT} seconds")
    if failure := connection.recv():
        raise RuntimeError(failure)


def _call(module: str, arguments: tuple[str, ...]) -> None:
    importlib.import_module(module).main(*arguments)


@cache
def _mindspore() -> Connection:
    """The process of all MindSpore's experiments, since starting one takes seconds."""
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True).start()
    theirs.close()
    return ours


def _serve(connection: Connection) -> None:
    os.environ.update(ONE_THREAD)
    while True:
        try:
            _call(*connection.recv())
            connection.send("")
        except Exception:
            connection.send(traceback.format_exc())


def suite(*files: Path, **variables: str) -> tuple[Any, Any]:
    """Create a fixture and a test; bind them to `outcomes` and to any test name in a module.

    Args:
        files: tests, which are listed without importing the files, and run once in a separate process.
        variables: additional environment variables of that process.
    """

    @pytest.fixture(scope="module")
    def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
        return _outcomes(files, tmp_path_factory.mktemp(files[0].stem), variables)

    body = [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]
    names = [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]

    @pytest.mark.parametrize("name", names)
    def test(name: str, outcomes: dict[str, str]) -> None:
        assert not outcomes[name], outcomes[name]

    return outcomes, test


def _outcomes(files: Sequence[Path], folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Failures by test function, empty if all of its cases passed."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *map(str, files)]
    run = subprocess.run(
        command, env={**environment(), **variables}, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT
    )
    if not report.is_file():
        raise RuntimeError(f"{files[0].name} did not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        texts = [node.text or "" for kind in ("failure", "error") for node in case.iter(kind)]
        found[name] = "\n".join(filter(None, [found.get(name, ""), *texts]))
    return found
