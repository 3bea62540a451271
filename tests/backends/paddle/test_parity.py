"""PaddlePaddle against PyTorch: logits, losses, gradients, three training steps, statistics, Paddle Inference."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import parity

SKIPPED = {"tsn mobilenet_v2", "trn mobilenet_v2", "tsn bn_inception", "tsm bn_inception"}  # docs/parity.md has them
CASES = [case for case in parity.cases() if case.name not in SKIPPED]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[parity.Row]:
    return parity.rows("paddle", tmp_path_factory.mktemp("parity"), CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_paddle_equals_pytorch(case, rows):
    mine = [row for row in rows if row.case == case.name]
    measured = set(parity.TOLERANCES) if case.compiled else set(parity.TOLERANCES) - {"compiled logits"}
    assert {row.quantity for row in mine} == measured
    assert all(row.passes for row in mine), [row for row in mine if not row.passes]


def test_a_difference_beyond_the_gate_fails():
    case = CASES[0]
    weight, bias = np.array([4.0]), np.zeros(2)
    expected = {"logits": np.array([[1.0, -2.0]]), "gradients/a.weight": weight, "gradients/a.bias": bias}
    measured = {**expected, "logits": np.array([[1.0, -2.001]]), "gradients/a.bias": np.array([0.0, 0.001])}
    logits, gradients = parity.compare(case, "paddle", expected, measured)
    assert logits.difference == pytest.approx(5e-4)
    assert not logits.passes
    assert gradients.difference == pytest.approx(2.5e-4)
    assert gradients.passes and gradients.tensor == "a.bias"
    measured["logits"] = np.full((1, 2), np.nan)
    assert not parity.compare(case, "paddle", expected, measured)[0].passes
    with pytest.raises(AssertionError, match=r"other tensors: \['gradients/a.bias'\]"):
        parity.compare(case, "paddle", expected, {key: measured[key] for key in ("logits", "gradients/a.weight")})
