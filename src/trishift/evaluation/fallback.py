"""A predictor that makes way for another one if it cannot be made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trishift.backends.contract import Predictor, State
from trishift.errors import CheckpointError, FrameworkError, OutputError, RecipeError

_LOG = logging.getLogger(__name__)


class Fallback:
    """A predictor, or a native one as soon as the first cannot be made: see `backends.contract.Predictor`.

    Predictors are made when they are opened, or for the clips of each size when they are first used.
    """

    def __init__(self, make: Callable[[], Predictor], native: Callable[[], Predictor], name: str) -> None:
        """Open the predictor.

        Args:
            make: opens it.
            native: opens the other one, whose errors are raised.
            name: the other one in words, for the warning.
        """
        self._native: Callable[[], Predictor] | None = native
        self._name = name
        try:
            self._predictor = make()
        except (CheckpointError, FrameworkError, OutputError, RecipeError) as error:
            self._replace(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Clips (N, T, C, H, W) float32 to logits (N, K)."""
        logits: np.ndarray = self._call("predict", clips, relations)
        return logits

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """Advance N streams by one frame (N, C, H, W) float32; returns logits (N, K) and the new state."""
        result: tuple[np.ndarray, State] = self._call("step", frames, state)
        return result

    def check_clips(self, shape: tuple[int, ...]) -> None:
        """Refuse clips of a shape (N, T, C, H, W) that the model does not take."""
        self._call("check_clips", shape)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call a method. A RecipeError is not about the predictor, but about a size that no form of the model takes."""
        try:
            return getattr(self._predictor, method)(*arguments)
        except (CheckpointError, FrameworkError, OutputError) as error:
            self._replace(error)
            return getattr(self._predictor, method)(*arguments)

    def _replace(self, error: Exception) -> None:
        if self._native is None:
            raise error
        _LOG.warning("%s; %s predicts instead (--strict makes this an error)", error, self._name)
        native, self._native = self._native, None
        self._predictor = native()
