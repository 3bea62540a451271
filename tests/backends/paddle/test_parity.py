"""PaddlePaddle against PyTorch: logits, losses, gradients, three training steps, statistics, Paddle Inference."""

from __future__ import annotations

import pytest
from tests.support.parity import gate
from tests.support.parity.cases import Case
from tests.support.parity.comparison import quantities

FRAMEWORK = "paddle"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, gate.Outcome]:
    found = gate.outcomes(FRAMEWORK, tmp_path_factory.mktemp("parity"), gate.in_suite(FRAMEWORK))
    return {outcome.case: outcome for outcome in found}


@pytest.mark.parametrize("case", gate.in_suite(FRAMEWORK), ids=lambda case: case.name)
def test_equals_pytorch(case: Case, outcomes: dict[str, gate.Outcome]) -> None:
    outcome = outcomes[case.name]
    assert set(outcome.rows) == quantities(case)
    assert outcome.passes, outcome.failures


def test_few_cases_need_other_clips(outcomes: dict[str, gate.Outcome]) -> None:
    assert len(gate.redrawn_cases(outcomes.values())) <= gate.REDRAWN_CASES
