"""The parity gate on made-up numbers: failures, redraws and results that cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.parity.__main__ import header
from tests.support.parity.cases import cases
from tests.support.parity.comparison import Row, compare
from tests.support.parity.gate import IN_SUITE, Outcome, redrawn_cases
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


def test_each_quantity_counts_its_best_draw() -> None:
    outcome = Outcome(CASE.name)
    assert not outcome.passes
    outcome.add([row("loss", 1.0), row("gradients", 1e-6)])
    assert not outcome.passes and outcome.failures == [row("loss", 1.0)]
    outcome.add([row("loss", 1e-5), row("gradients", 1e-5)])
    assert outcome.passes and outcome.draws == 2
    assert outcome.rows["gradients"].difference == 1e-6
    assert redrawn_cases([outcome, Outcome("other", draws=1)]) == [CASE.name]


def test_nan_fails_in_every_draw() -> None:
    outcome = Outcome(CASE.name)
    for difference in (float("nan"), 1e-9):
        outcome.add([row("loss", difference)])
    assert not outcome.passes


def test_the_suite_gates_known_cases() -> None:
    names = {case.name for case in cases()}
    assert all(names >= set(gated) for gated in IN_SUITE.values())


def test_page_describes_the_gate() -> None:
    page = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
    assert page.startswith(header())
