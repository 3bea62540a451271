"""Data-parallel training: two processes under each framework's launcher equal one process in PyTorch."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support import isolated, rank
from tests.support.paths import SUPPORT

from trishift.backends import FRAMEWORKS, MODULES, open_session
from trishift.backends.contract import Execution

MSRUN = "from mindspore.parallel.cluster.run import main; main()"  # what the msrun command executes
Results = dict[str, dict[str, np.ndarray]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def launcher(framework: str, logs: Path) -> list[str]:
    if framework == "pytorch":
        return ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    if framework == "paddle":
        return ["-m", "paddle.distributed.launch", "--nproc_per_node=2", "--backend=gloo", f"--log_dir={logs}"]
    ports = [f"--master_port={free_port()}", "--join=True", f"--log_dir={logs}"]
    return ["-c", MSRUN, "--worker_num=2", "--local_worker_num=2", *ports]


@pytest.fixture(scope="module")
def alone() -> dict[str, np.ndarray]:
    """The result of one process, in PyTorch for all frameworks: parity tests compare these with each other."""
    return rank.train(open_session("pytorch", rank.SPEC, Execution(compile=False)), freeze_norms=True)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Results of both ranks, by file name."""
    if importlib.util.find_spec(MODULES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp("ranks")
    script = (SUPPORT / "rank.py", request.param, folder)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # msrun starts "python"
    isolated.python(*launcher(request.param, folder / "logs"), *script, folder=folder, PATH=path)
    return {file.stem: dict(np.load(file)) for file in folder.glob("*.npz")}


def test_two_ranks_equal_one_process(results: Results, alone: dict[str, np.ndarray]) -> None:
    assert results["rank_0_frozen"].keys() == alone.keys()
    for name, array in alone.items():
        np.testing.assert_allclose(results["rank_0_frozen"][name], array, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("case", ["frozen", "learning"])
def test_ranks_hold_the_same_network(results: Results, case: str) -> None:
    first, second = results[f"rank_0_{case}"], results[f"rank_1_{case}"]
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_gather_keeps_types_and_rank_order(results: Results) -> None:
    for number in (0, 1):
        gathered = results[f"rank_{number}_gathered"]
        assert np.array_equal(gathered["numbers"], [[0, 2], [1, 2]])
        assert gathered["mask"].tolist() == [True, True, False, True]
