"""Errors name the setting in the caller's own terms, not an option of another tool."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import partial

import pytest
from tests.support.paths import ROOT

from trishift.cli import run
from trishift.commands import train
from trishift.commands.shared.arguments import spelled
from trishift.errors import ExecutionError

MISSING_GPU = ExecutionError("device gpu: there is none; set", ("device", "cpu"))


def refuse(arguments: Sequence[str]) -> None:
    raise MISSING_GPU


@pytest.mark.parametrize(
    ("command", "script", "remedy"),
    [
        ("infer", False, "--device cpu"),
        ("eval", False, "--device cpu"),
        ("train", False, "execution.device=cpu"),
        ("train", True, "DEVICE=cpu"),
        ("eval", True, "DEVICE=cpu"),
    ],
)
def test_commands_name_their_own_option(
    command: str, script: bool, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRISHIFT_SCRIPT", raising=False)
    monkeypatch.setenv("DEVICE", "gpu")  # outside scripts this variable is ignored
    if script:
        monkeypatch.setenv("TRISHIFT_SCRIPT", "1")
    assert run(command, refuse, []) == 1
    assert capsys.readouterr().err == f"error: device gpu: there is none; set {remedy}\n"


def test_python_callers_get_the_python_setting() -> None:
    assert str(MISSING_GPU) == "device gpu: there is none; set Execution(device='cpu')"


def test_values_use_recipe_and_option_spelling() -> None:
    error = ExecutionError("sync_batch_norm: no; set", ("sync_batch_norm", False), ("device", "gpu"))
    assert error.phrased(partial(spelled, "train")).endswith(
        "set execution.sync_batch_norm=false or execution.device=gpu"
    )
    assert spelled("infer", "channels_last", "on") == "--channels-last on"


def test_scripts_are_recognized() -> None:
    text = "set -- x; . scripts/launch.sh; python -c \"import os; print(os.environ['TRISHIFT_SCRIPT'])\""
    result = subprocess.run(["bash", "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "1\n"


@pytest.mark.parametrize(
    ("framework", "launcher"),
    [
        ("pytorch", "torchrun --nproc_per_node 2"),
        ("mindspore", "msrun --worker_num 2 --local_worker_num 2 --join=True"),
        ("paddle", "python -m paddle.distributed.launch --nproc_per_node 2"),
    ],
)
def test_training_in_processes_is_a_launchers(
    framework: str, launcher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--config", "gestures/tsm", "--devices", "2", f"--framework={framework}", "data.root=a b"]
    assert run("train", train.main, arguments) == 1
    rest = f"train --config gestures/tsm --framework={framework} 'data.root=a b' execution.distributed=true"
    assert capsys.readouterr().err.endswith(f'; run {launcher} "$(command -v trishift)" {rest}\n')
    assert launcher.split()[0] in (ROOT / "scripts" / "launch.sh").read_text()
