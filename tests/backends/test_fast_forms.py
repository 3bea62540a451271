"""A fast form predicts only if it was proven; settings that choose another form come first."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from trishift.backends.contract import Execution
from trishift.backends.fast_forms import FAST_FORMS, fast_form, pays, proven
from trishift.errors import FrameworkError
from trishift.model.spec import ModelSpec

LOGITS = np.array([[1.0, -4.0]], np.float32)


@pytest.mark.parametrize(
    ("execution", "reason"),
    [
        (Execution(), ""),
        (Execution(precision="bf16"), ""),
        (Execution(device="gpu", precision="tf32"), ""),
        (Execution(device="gpu", precision="int8"), "it has no fused form on gpu in int8"),
        (Execution(compile=True), "execution.compile was chosen"),
        (Execution(channels_last=False), "NCHW was chosen"),
    ],
)
def test_choices_of_the_user_come_first(execution: Execution, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert (fast_form("fused", "pytorch", execution, ModelSpec()) is None) is bool(reason)
    assert reason in caplog.text


def test_a_few_clips_are_not_worth_a_form_that_takes_long() -> None:
    assert [pays(name, 1) for name in ("pytorch", "paddle", "mindspore")] == [True, False, False]
    assert all(pays(form.framework, form.pays_from) for form in FAST_FORMS if form.name == "fused")


def read(outputs: np.ndarray) -> list[np.ndarray]:
    return [outputs]


@pytest.mark.parametrize(
    ("factor", "precision", "passes"),
    [(1 + 1e-6, "fp32", True), (1.001, "fp32", False), (1.001, "bf16", True), (float("nan"), "bf16", False)],
)
def test_form_that_differs_is_not_used(
    factor: float, precision: str, passes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def double(x: np.ndarray) -> np.ndarray:
        return x * factor

    found = proven(FAST_FORMS[0], precision, lambda: double, (LOGITS,), [LOGITS], read)
    assert found is (double if passes else None)
    assert ("so the network as is predicts" in caplog.text) is not passes
    if not passes:
        with pytest.raises(FrameworkError, match=r"^pytorch: the fused form of this network differs by .*--runtime"):
            proven(FAST_FORMS[0], precision, lambda: double, (LOGITS,), [LOGITS], read, strict=True)


def test_every_output_is_compared() -> None:
    def wrong(x: np.ndarray) -> list[np.ndarray]:
        return [x * np.float32("nan"), x]

    for outputs in (wrong, lambda x: [x, x[:, :1]], lambda x: [x]):
        assert proven(FAST_FORMS[0], "fp32", lambda o=outputs: o, (LOGITS,), [LOGITS, LOGITS], list) is None


@pytest.mark.parametrize("strict", [False, True])
def test_network_without_a_fast_form_predicts_as_is(strict: bool, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("no such operator\nand much more")

    message = "pytorch: the fused form of this network cannot be made (no such operator)"
    if strict:
        with pytest.raises(FrameworkError) as caught:
            proven(FAST_FORMS[0], "fp32", fail, (LOGITS,), [LOGITS], read, strict=True)
        assert str(caught.value) == f"{message}; use --runtime native, or remove --strict"
    else:
        assert proven(FAST_FORMS[0], "fp32", fail, (LOGITS,), [LOGITS], read) is None
        assert message in caplog.text and "much more" not in caplog.text
