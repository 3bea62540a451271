"""A predictor that cannot be made makes way for the native one, once and with a warning; other errors pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trishift.errors import CheckpointError, DataError, FrameworkError, RecipeError
from trishift.evaluation.fallback import Fallback

CLIPS = np.zeros((2, 3, 3, 4, 4), np.float32)


def predictor(name: str, error: Exception | None = None) -> Any:
    def call(*arguments: object) -> str:
        if error is not None:
            raise error
        return name

    return SimpleNamespace(framework=name, predict=call, step=call, check_clips=call)


def refuse() -> Any:
    raise FrameworkError("onnxruntime is not installed; in the Trishift repository, run: pip install '.[export]'")


def test_missing_runtime_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    model = Fallback(refuse, lambda: predictor("pytorch"), "pytorch")
    assert model.framework == model.predict(CLIPS) == "pytorch"
    [record] = caplog.records
    assert record.getMessage().startswith("onnxruntime is not installed; ")
    assert record.getMessage().endswith("; pytorch predicts instead (--strict makes this an error)")


@pytest.mark.parametrize("method", ["predict", "step", "check_clips"])
def test_program_that_cannot_be_made_is_replaced(method: str, caplog: pytest.LogCaptureFixture) -> None:
    program = predictor("openvino", CheckpointError("the program differs"))
    model = Fallback(lambda: program, lambda: predictor("pytorch"), "pytorch")
    assert model.framework == "openvino"
    for _ in range(2):
        getattr(model, method)(CLIPS)
    assert model.framework == "pytorch" and len(caplog.records) == 1


@pytest.mark.parametrize("error", [DataError("clips of 3 segments"), RecipeError("frames of 4 x 4")])
def test_errors_about_clips_pass(error: Exception) -> None:
    model = Fallback(lambda: predictor("openvino", error), refuse, "pytorch")
    with pytest.raises(type(error), match=str(error)):
        model.predict(CLIPS)


def test_errors_of_the_native_form_pass() -> None:
    native = predictor("pytorch", FrameworkError("no such device"))
    model = Fallback(refuse, lambda: native, "pytorch")
    for _ in range(2):
        with pytest.raises(FrameworkError, match="no such device"):
            model.predict(CLIPS)
