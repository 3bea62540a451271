"""Two processes on the CPU train like one, in each framework, through the public launch scripts.

Clips have one or two labels, and the loss is a mean over labels, so parts of a batch are weighted by their labels.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.support.paths import ROOT
from tests.support.tiny import write_recipe

from trishift.backends import FRAMEWORKS, MODULES
from trishift.checkpoints.training_state import load_state

DATA = {"augmentation": {"flip": "none"}}
TRAIN = {"batch_size": 8, "lr": 0.02, "frozen_bn": True, "clip_norm": 5, "loss": "wlsep"}


@pytest.fixture(scope="module")
def folder(two_hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("distributed")
    shutil.copytree(two_hands, path / "data")
    for name, clips in (("train", 24), ("val", 17)):  # three steps of eight clips
        header, *records = (path / f"data/{name}.csv").read_text().splitlines(keepends=True)
        (path / f"data/{name}.csv").write_text("".join([header, *records[:: len(records) // clips][:clips]]))
    write_recipe(path / "tiny.yaml", path / "data", model={"dropout": 0.3}, data=DATA, train=TRAIN)
    return path


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """The run of one process, in PyTorch for all frameworks: parity tests compare these with each other."""
    output = folder / "alone"
    printed = launch("run_standalone_train_gpu.sh", folder, "pytorch", output, "0", str(folder / "data"))
    assert "(17 videos;" in printed
    return output


@pytest.fixture(scope="module")
def killed(folder: Path) -> tuple[Path, str, int]:
    """A PyTorch run of two processes, one of which was killed: its folder, output and status."""
    output = folder / "killed"
    command = ["bash", str(ROOT / "scripts/run_distributed_train_gpu.sh"), str(folder / "data"), "train.epochs=500"]
    variables = environment(folder, "pytorch", output, NPROC="2")
    job = subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    try:
        wait_for(lambda: (output / "last.safetensors").exists())
        victims = ranks_of(output)
        assert len(victims) == 2
        os.kill(victims[1], 9)
        text, _ = job.communicate(timeout=240)
    finally:
        job.kill()
    return output, text, job.returncode


def environment(folder: Path, framework: str, output: Path, **extra: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    recipe = {"FRAMEWORK": framework, "CONFIG": str(folder / "tiny.yaml"), "OUTPUT": str(output)}
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "DEVICE": "cpu", **recipe, **extra}


def launch(script: str, folder: Path, framework: str, output: Path, *arguments: str, **extra: str) -> str:
    command = ["bash", str(ROOT / "scripts" / script), *arguments]
    variables = environment(folder, framework, output, **extra)
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def needs(framework: str) -> None:
    if importlib.util.find_spec(MODULES[framework]) is None:
        pytest.skip(f"{framework} is not installed")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_processes_train_like_one(
    folder: Path, alone: Path, framework: str, request: pytest.FixtureRequest
) -> None:
    needs(framework)
    wanted = output = folder / framework
    if framework == "pytorch":  # the killed run is left alone
        wanted, *_ = request.getfixturevalue("killed")
        output = wanted.with_name(f"{wanted.name}-2")
    data = str(folder / "data")
    printed = launch("run_distributed_train_gpu.sh", folder, framework, wanted, data, "train.accumulate=2", NPROC="2")
    assert "(17 videos;" in printed  # the odd 17th clip is counted once
    assert_close(alone, output)


def assert_close(one: Path, two: Path) -> None:
    (alone, state), (together, other) = (load_state(path / "last.safetensors") for path in (one, two))
    assert state.iteration == other.iteration == 3
    for name, value in alone.tensors.items():
        difference = np.abs(value - together.tensors[name]).max() / max(np.abs(value).max(), 1e-12)
        assert difference < 1e-4, f"{name} differs by {difference:.1e}"


def test_killed_rank_ends_the_job(killed: tuple[Path, str, int]) -> None:
    _, text, status = killed
    assert status != 0
    assert "error: a process exited with status" in text


def ranks_of(output: Path) -> list[int]:
    """Process ids of the ranks that train into a folder, oldest first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"train.py" in words and str(output).encode() in words and not any(b"torchrun" in word for word in words):
            found.append(int(entry.name))
    return sorted(found)


def wait_for(condition: object, seconds: float = 240) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def test_launch_errors_are_one_line(folder: Path) -> None:
    script = str(ROOT / "scripts/run_distributed_train_gpu.sh")
    cases = [
        ([str(folder / "data")], {"DEVICE": "gpu"}, "DEVICE=cpu"),
        ([str(folder / "nowhere")], {}, "does not exist"),
        ([str(folder / "data")], {"FRAMEWORK": "tensorflow"}, "FRAMEWORK=tensorflow is unknown"),
        ([], {}, "usage: bash"),
    ]
    for arguments, extra, message in cases:
        if (
            extra.get("DEVICE") == "gpu"
            and subprocess.run(["bash", "-c", "nvidia-smi -L"], capture_output=True).returncode == 0
        ):
            continue
        variables = environment(folder, "pytorch", folder / "bad") | extra
        result = subprocess.run(
            ["bash", script, *arguments], env=variables, capture_output=True, text=True, check=False
        )
        assert result.returncode != 0
        assert message in result.stderr, result.stderr
