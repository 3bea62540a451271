"""Lower precision reports once how far it agrees with fp32, on the first clips."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from trishift.evaluation.agreement import Compared
from trishift.model.pixels import Normalization


def predictor(factor: float, closed: list[float]) -> Any:
    def predict(clips: np.ndarray, relations: object = None) -> np.ndarray:
        return clips.reshape(len(clips), -1)[:, :2] * [1, factor]

    return SimpleNamespace(predict=predict, close=lambda: closed.append(factor), rank=0)


def test_pixels_are_compared_with_their_normalization_in_full_precision() -> None:
    rule = Normalization(np.full((1, 1, 1), 0.5, np.float32), np.zeros((1, 1, 1), np.float32))
    said: list[object] = []

    def lower(clips: np.ndarray, relations: object = None) -> np.ndarray:
        return clips[:, 0, 0, 0, :] * 0.5

    def exact(clips: np.ndarray, relations: object = None) -> np.ndarray:
        return clips[:, 0, 0, 0, :]

    opened = SimpleNamespace(predict=lower, accept_pixels=lambda rule: True)
    compared = Compared(cast(Any, opened), "bf16", lambda: SimpleNamespace(predict=exact, close=int), said.append)
    assert compared.accept_pixels(rule)
    compared.predict(np.arange(8, dtype=np.uint8).reshape(4, 1, 1, 1, 2))
    assert "differ by 0 of the largest, the best class is the same for 4" in str(said)


def test_agreement_is_measured_once_on_the_first_clips() -> None:
    clips = np.array([[4.0, 2.0]] * 4 + [[1.0, 9.0]] * 2)
    said: list[object] = []
    closed: list[float] = []
    compared = Compared(predictor(0.5, closed), "bf16", lambda: predictor(2.5, closed), said.append)
    for _ in range(2):
        np.testing.assert_array_equal(compared.predict(clips)[:, 1], [1.0] * 4 + [4.5] * 2)
    line = (
        "bf16 against fp32 on the first 4 clips: logits differ by 0.8 of the largest, the best class is the same for 0"
    )
    assert said == [line]
    assert closed == [2.5] and compared.rank == 0
