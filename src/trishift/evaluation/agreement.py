"""How far predictions in lower precision agree with full precision, measured on the first clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trishift.backends.contract import Execution, Predictor
from trishift.io.wording import counted
from trishift.model.pixels import Normalization

_CLIPS = 4


class Compared:
    """A predictor in lower precision, which reports its agreement with fp32 once: see `backends.contract.Predictor`."""

    def __init__(
        self, predictor: Predictor, precision: str, exact: Callable[[], Predictor], say: Callable[[str], object]
    ) -> None:
        """Wrap a predictor.

        Args:
            predictor: predicts.
            precision: its precision.
            exact: opens the same model in fp32, which is closed after the comparison.
            say: called with the line about the agreement.
        """
        self._say = say
        self._predictor, self._precision = predictor, precision
        self._exact: Callable[[], Predictor] | None = exact
        self._rule: Normalization | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def accept_pixels(self, rule: Normalization) -> bool:
        """See `backends.contract.Predictor`."""
        self._rule = rule if self._predictor.accept_pixels(rule) else None
        return self._rule is not None

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """The predictor's logits (N, K) of clips (N, T, C, H, W) float32; compares those of the first clips."""
        logits = self._predictor.predict(clips, relations)
        if self._exact is not None:
            exact, self._exact = self._exact(), None
            first = clips[:_CLIPS]
            expected = exact.predict(first if self._rule is None else self._rule(first), relations)
            exact.close()
            self._say(f"{self._precision} against fp32 on {agreement(logits[:_CLIPS], expected)}")
        return logits


def compared(opened: Callable[[Execution], Predictor], execution: Execution, say: Callable[[str], object]) -> Predictor:
    """Open a predictor that reports its agreement with fp32 if it has lower precision."""
    predictor = opened(execution)
    if execution.precision == "fp32":
        return predictor
    exact = replace(execution, precision="fp32", distributed=False)
    return Compared(predictor, execution.precision, lambda: opened(exact), say)


def agreement(found: np.ndarray, expected: np.ndarray) -> str:
    """Describe how logits (N, K) agree with expected ones."""
    worst = float(np.abs(found - expected).max() / np.abs(expected).max())
    same = int((found.argmax(1) == expected.argmax(1)).sum())
    clips = counted(len(found), "clip")
    return f"the first {clips}: logits differ by {worst:.2g} of the largest, the best class is the same for {same}"
