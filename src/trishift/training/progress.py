"""The live line of an epoch: loss, training accuracy, speed, share of waiting for data, memory and time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from trishift.io.progress import Progress
from trishift.io.wording import spell_time

_Item = TypeVar("_Item")


def training_figures(loss: float, top1: float) -> str:
    """Loss and accuracy of training clips in words; without the latter if it is NaN, as with several labels."""
    return f"loss {loss:.4f}" if math.isnan(top1) else f"loss {loss:.4f}, training top-1 {top1:.1%}"


class EpochProgress(Progress):
    """The progress of an epoch in optimizer steps.

    Args:
        title: names the epoch.
        total: steps of the epoch.
        start: steps that were done before.
        clips: clips per step, over all processes.
        later: steps in later epochs.
        memory: bytes that the run has needed at most; 0 if unknown.
        show: whether to show it.

    Attributes:
        waited: seconds spent waiting for data.
        stepped: seconds spent in steps.
    """

    def __init__(
        self,
        title: str,
        total: int,
        start: int = 0,
        *,
        clips: int = 1,
        later: int = 0,
        memory: Callable[[], int] = lambda: 0,
        show: bool = True,
    ) -> None:
        super().__init__(title, total, start, "step", show=show)
        self._clips, self._ahead, self._memory = clips, total + later, memory
        self._loss = self._top1 = math.nan
        self.waited = self.stepped = 0.0
        self._mark = time.monotonic()

    def track(self, items: Iterator[_Item]) -> Iterator[tuple[int, _Item]]:
        """Number the batches of the remaining steps, and measure the time until each of them arrives."""
        self._mark = time.monotonic()
        for item in items:
            self.waited += self._lap()
            yield self._done, item

    def step(self, loss: float, top1: float = math.nan) -> None:
        """Count a step and show the latest loss and accuracy of training clips that are known."""
        self.stepped += self._lap()
        self._loss, self._top1 = loss, top1
        self.update()
        if not self._bar.disable:
            self._bar.set_postfix_str(self.note(), refresh=False)

    def note(self) -> str:
        """Loss, training accuracy, clips per second, share of waiting for data, memory and time left in training."""
        seconds, steps = self.waited + self.stepped, self._done - self._start
        memory = self._memory()
        parts = [training_figures(self._loss, self._top1), f"{self._clips * steps / max(seconds, 1e-9):.3g} clips/s"]
        parts.append(f"waiting for data {self.waited / max(seconds, 1e-9):.0%}")
        parts += [f"{memory / 2**30:.1f} GB"] if memory else []
        return ", ".join([*parts, f"{spell_time(seconds / steps * (self._ahead - self._done))} left"])

    def _lap(self) -> float:
        """Seconds since the last call."""
        before, self._mark = self._mark, time.monotonic()
        return self._mark - before
