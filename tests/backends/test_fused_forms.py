"""A fused form predicts only if it was proven; settings that choose another form come first."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from trishift.backends.contract import Execution
from trishift.backends.fused_forms import FUSED_FORMS, fused_form, pays, proven
from trishift.model.spec import ModelSpec

LOGITS = np.array([[1.0, -4.0]], np.float32)


@pytest.mark.parametrize(
    ("execution", "reason"),
    [
        (Execution(), ""),
        (Execution(precision="bf16"), ""),
        (Execution(device="gpu"), "it has no fused form on gpu in fp32"),
        (Execution(compile=True), "execution.compile was chosen"),
        (Execution(channels_last=False), "NCHW was chosen"),
    ],
)
def test_choices_of_the_user_come_first(execution: Execution, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert (fused_form("pytorch", execution, ModelSpec()) is None) is bool(reason)
    assert reason in caplog.text


def test_a_few_clips_are_not_worth_a_form_that_takes_long() -> None:
    assert [pays(name, 1) for name in ("pytorch", "paddle", "mindspore")] == [True, False, False]
    assert all(pays(form.framework, form.pays_from) for form in FUSED_FORMS)


@pytest.mark.parametrize(
    ("factor", "precision", "passes"),
    [(1 + 1e-6, "fp32", True), (1.001, "fp32", False), (1.001, "bf16", True), (float("nan"), "bf16", False)],
)
def test_form_that_differs_is_not_used(
    factor: float, precision: str, passes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def double(x: np.ndarray) -> np.ndarray:
        return x * factor

    found = proven(FUSED_FORMS[0], precision, lambda: double, (LOGITS,), LOGITS, np.asarray)
    assert found is (double if passes else None)
    assert ("the plain one predicts" in caplog.text) is not passes


def test_network_that_cannot_be_fused_predicts_as_is(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("no such operator\nand much more")

    assert proven(FUSED_FORMS[0], "fp32", fail, (LOGITS,), LOGITS, np.asarray) is None
    assert "pytorch cannot fuse this network, which predicts as is: no such operator" in caplog.text
    assert "much more" not in caplog.text
