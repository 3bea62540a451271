"""Data-parallel training in Paddle: two processes under its launcher compute what one computes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import isolated
from tests.support.paddle_rank import SPEC, train
from tests.support.paths import SUPPORT

from trishift.backends.contract import Execution
from trishift.backends.paddle.session import Session

SCRIPT = SUPPORT / "paddle_rank.py"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """What both ranks wrote, by file name."""
    folder = tmp_path_factory.mktemp("ranks")
    launcher = ("-m", "paddle.distributed.launch", "--nproc_per_node", 2, "--backend", "gloo")
    isolated.python(*launcher, "--log_dir", folder / "logs", SCRIPT, folder, folder=folder)
    return {file.stem: dict(np.load(file)) for file in folder.glob("*.npz")}


def test_two_ranks_with_accumulation_equal_one_process(ranks):
    alone = train(Session(SPEC, Execution()), freeze_norms=True)
    for name, array in ranks["frozen_0"].items():
        np.testing.assert_allclose(array, alone[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("case", ["frozen", "learning"])
def test_ranks_hold_the_same_network(ranks, case):
    first, second = ranks[f"{case}_0"], ranks[f"{case}_1"]
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_arrays_of_any_type_are_gathered_in_rank_order(ranks):
    for rank in (0, 1):
        assert np.array_equal(ranks[f"gathered_{rank}"]["numbers"], [[0, 2], [1, 2]])
        assert ranks[f"gathered_{rank}"]["mask"].tolist() == [True, True, False, True]
