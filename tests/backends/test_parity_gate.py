"""The parity gate on made-up numbers: failures, redraws and results that cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.support.parity.__main__ import header
from tests.support.parity.cases import cases
from tests.support.parity.comparison import Row, compare
from tests.support.parity.gate import DRAWS, IN_SUITE, Outcome, redrawn_cases
from tests.support.parity.ties import ClosestTie
from tests.support.paths import ROOT

CASE = cases()[0]


def row(quantity: str, difference: float) -> Row:
    return Row(CASE.name, "paddle", quantity, difference, "")


def test_difference_beyond_tolerance_fails() -> None:
    weight, bias = np.array([4.0]), np.zeros(2)
    expected = {"logits": np.array([[1.0, -2.0]]), "gradients/a.weight": weight, "gradients/a.bias": bias}
    measured = {**expected, "logits": np.array([[1.0, -2.001]]), "gradients/a.bias": np.array([0.0, 0.001])}
    logits, gradients = compare(CASE, "paddle", expected, measured)
    assert logits.difference == pytest.approx(5e-4)
    assert not logits.passes
    assert gradients.difference == pytest.approx(2.5e-4)
    assert gradients.passes and gradients.tensor == "a.bias"
    measured["logits"] = np.full((1, 2), np.nan)
    assert not compare(CASE, "paddle", expected, measured)[0].passes
    with pytest.raises(AssertionError, match=r"other tensors: \['gradients/a.bias'\]"):
        compare(CASE, "paddle", expected, {key: measured[key] for key in ("logits", "gradients/a.weight")})


def test_only_a_tie_justifies_other_clips() -> None:
    outcome = Outcome(CASE.name)
    assert outcome.pending and not outcome.passes
    outcome.add([row("loss", 1e-6), row("gradients", 1.0)], gap=2e-7)
    assert outcome.pending and outcome.failures == [row("gradients", 1.0)]
    outcome.add([row("loss", 1.0), row("gradients", 1e-6)], gap=1e-3)
    assert outcome.failures == [row("loss", 1.0)] and not outcome.pending  # clips without a tie: a defect
    outcome.add([row("loss", 1e-5), row("gradients", 1e-5)], gap=0.0)
    assert outcome.passes and outcome.draws == 3 and not outcome.pending
    assert redrawn_cases([outcome, Outcome("other", draws=1)]) == [CASE.name]
    assert not Outcome("tied in every draw", {"loss": row("loss", 1.0)}, DRAWS, 0.0).pending


def test_nan_fails() -> None:
    outcome = Outcome(CASE.name)
    outcome.add([row("loss", float("nan"))], gap=0.0)
    assert not outcome.passes


def test_gap_of_a_max_pool() -> None:
    x = torch.tensor([[8.0, 1.0, 6.0, 5.5], [7.0, 0.0, 4.0, 4.0], [3.0, 3.0, -1.0, -2.0], [3.0, 3.0, -4.0, -8.0]])
    assert gap_of(x, 2) == 0.5 / 8  # 6.0 and 5.5; windows of equal values don't count
    assert gap_of(x[:2, :2], 2) == 1 / 8
    assert gap_of(x[:2, :2], 3, 2, padding=1, ceil_mode=True) == 1 / 8
    assert gap_of(torch.zeros(4, 4), 2) == gap_of(x[:1, :1], 2, ceil_mode=True) == float("inf")


def gap_of(picture: torch.Tensor, *arguments: int, **options: int) -> float:
    with ClosestTie() as closest:
        F.max_pool2d(picture[None, None], *arguments, **options)
    return closest.gap


def test_the_suite_gates_known_cases() -> None:
    names = {case.name for case in cases()}
    assert all(names >= set(gated) for gated in IN_SUITE.values())


def test_page_describes_the_gate() -> None:
    page = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
    assert page.startswith(header())
