"""SIGTERM ends a command like Ctrl-C: one line, a status of its own, and no temporary files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import isolated
from tests.support.command_line import command
from tests.support.installed import MISSING

from trishift.version import __version__

WORK = """
import os, signal, sys
from pathlib import Path
from trishift.cli import run
from trishift.io.atomic import write_atomically

def work(arguments):
    write_atomically(Path(arguments[0]), lambda file: os.kill(os.getpid(), signal.SIGTERM))

{before}
status = run("eval", work, sys.argv[1:])
print(status, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""


def test_sigterm_ends_in_one_line_and_cleans_up(tmp_path: Path) -> None:
    assert isolated.python("-c", WORK.format(before="sys.stderr = sys.stdout"), tmp_path / "result.json") == (
        "terminated\n143 True\n"
    )
    assert not list(tmp_path.iterdir())


def test_sigterm_of_others_is_left_alone(tmp_path: Path) -> None:
    before = "signal.signal(signal.SIGTERM, lambda number, _: print('handled'))"
    assert isolated.python("-c", WORK.format(before=before), tmp_path / "result.json") == "handled\n0 False\n"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


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
