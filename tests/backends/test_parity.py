"""MindSpore and PaddlePaddle against PyTorch: logits, losses, gradients, three steps, statistics, compiled networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from tests.support.parity import gate
from tests.support.parity.cases import Case
from tests.support.parity.comparison import quantities

Outcomes = dict[str, gate.Outcome]
CASES = [(framework, case) for framework in gate.IN_SUITE for case in gate.in_suite(framework)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcomes]:
    """The outcomes of a framework's cases, measured once; PyTorch's measurements serve both frameworks."""
    folder = tmp_path_factory.mktemp("parity")

    @cache
    def outcomes(framework: str) -> Outcomes:
        found = gate.outcomes(framework, folder, gate.in_suite(framework))
        return {outcome.case: outcome for outcome in found}

    return outcomes


@pytest.mark.parametrize(("framework", "case"), CASES, ids=lambda value: getattr(value, "name", value))
def test_equals_pytorch(framework: str, case: Case, measured: Callable[[str], Outcomes]) -> None:
    outcome = measured(framework)[case.name]
    assert set(outcome.rows) == quantities(case)
    assert outcome.passes, outcome.failures


@pytest.mark.parametrize("framework", gate.IN_SUITE)
def test_few_cases_need_other_clips(framework: str, measured: Callable[[str], Outcomes]) -> None:
    assert len(gate.redrawn_cases(measured(framework).values())) <= gate.REDRAWN_CASES
