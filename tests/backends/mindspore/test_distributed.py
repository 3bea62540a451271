"""Data-parallel training in MindSpore: two processes under msrun compute what one computes."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support import isolated
from tests.support.paths import SUPPORT

SCRIPT = SUPPORT / "mindspore_rank.py"
MSRUN = "from mindspore.parallel.cluster.run import main; main()"  # what the msrun command executes


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """What one process and both ranks of two wrote, by file name."""
    folder = tmp_path_factory.mktemp("ranks")
    isolated.python(SCRIPT, folder, "alone", folder=folder)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # msrun starts "python"
    launcher = ("-c", MSRUN, "--worker_num=2", "--local_worker_num=2", f"--master_port={free_port()}", "--join=True")
    isolated.python(*launcher, f"--log_dir={folder / 'logs'}", SCRIPT, folder, "rank", folder=folder, PATH=path)
    return {file.stem: dict(np.load(file)) for file in folder.glob("*.npz")}


def test_two_ranks_equal_one_process(results):
    for name, array in results["alone_frozen_0"].items():
        np.testing.assert_allclose(results["rank_frozen_0"][name], array, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("case", ["frozen", "learning"])
def test_ranks_hold_the_same_network(results, case):
    first, second = results[f"rank_{case}_0"], results[f"rank_{case}_1"]
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_arrays_of_any_type_are_gathered_in_rank_order(results):
    for rank in (0, 1):
        gathered = results[f"rank_gathered_{rank}"]
        assert np.array_equal(gathered["numbers"], [[0, 2], [1, 2]])
        assert gathered["mask"].tolist() == [True, True, False, True]
