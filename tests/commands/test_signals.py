"""SIGTERM ends a command like Ctrl-C: one line, a status of its own, and no temporary files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.support import isolated
from tests.support.command_line import command
from tests.support.installed import MISSING

from trishift.cli import run
from trishift.io.atomic import write_atomically
from trishift.version import __version__


def test_sigterm_ends_in_one_line_and_cleans_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work(arguments: list[str]) -> None:
        write_atomically(tmp_path / "result.json", lambda file: os.kill(os.getpid(), signal.SIGTERM))

    assert run("eval", work, []) == 143
    assert capsys.readouterr().err == "terminated\n"
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_sigterm_of_others_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    try:
        assert run("eval", lambda _: os.kill(os.getpid(), signal.SIGTERM), []) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped == [signal.SIGTERM]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--version") == 0
    assert capsys.readouterr().out == f"trishift {__version__}\n"


HANDLED = """
import os, signal
signal.signal(signal.SIGTERM, lambda number, _: print("handled"))
from trishift.backends import open_session
from trishift.model.spec import ModelSpec
open_session("paddle", ModelSpec("resnet10", 3, 2, width=4))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_paddle_leaves_handlers_of_sigterm_alone() -> None:
    if "paddle" in MISSING:
        pytest.skip("paddle is not installed")
    assert isolated.python("-c", HANDLED) == "handled\n"
