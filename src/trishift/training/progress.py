"""The live line of an epoch: loss, training accuracy, speed, share of waiting for data, memory and time left."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tqdm import tqdm

from trishift.io.wording import spell_time

_Item = TypeVar("_Item")


def training_figures(loss: float, top1: float) -> str:
    """Loss and accuracy of training clips in words; without the latter if it is NaN, as with several labels."""
    return f"loss {loss:.4f}" if math.isnan(top1) else f"loss {loss:.4f}, training top-1 {top1:.1%}"


class Progress:
    """A tqdm bar on a terminal; elsewhere, a line every 20 seconds.

    Args:
        description: names the epoch.
        total: optimizer steps of the epoch.
        start: steps that were done before.
        clips: clips per step, over all processes.
        later: steps in later epochs.
        memory: bytes that the run has needed at most; 0 if unknown.
        show: whether to print.

    Attributes:
        waited: seconds spent waiting for data.
        stepped: seconds spent in steps.
    """

    SECONDS_BETWEEN_LINES = 20.0

    def __init__(
        self,
        description: str,
        total: int,
        start: int = 0,
        *,
        clips: int = 1,
        later: int = 0,
        memory: Callable[[], int] = lambda: 0,
        show: bool = True,
    ) -> None:
        self._description, self._total, self._start = description, total, start
        self._clips, self._later, self._memory = clips, later, memory
        self._done, self._show = start, show
        self.waited = self.stepped = 0.0
        self._mark = self._last_line = time.monotonic()
        terminal = show and sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=start, desc=description, unit="step", leave=False) if terminal else None

    def track(self, items: Iterator[_Item]) -> Iterator[tuple[int, _Item]]:
        """Number the batches of the remaining steps, and measure the time until each of them arrives."""
        self._mark = time.monotonic()
        for item in items:
            self.waited += self._lap()
            yield self._done, item

    def update(self, loss: float, top1: float = math.nan) -> None:
        """Count a step and show the latest loss and accuracy of training clips that are known."""
        self.stepped += self._lap()
        self._done += 1
        if self._bar is not None:
            self._bar.update()
            self._bar.set_postfix_str(self.note(loss, top1), refresh=False)
        elif self._show and self._mark - self._last_line > self.SECONDS_BETWEEN_LINES:
            self._last_line = self._mark
            print(f"{self._description}: {self._done}/{self._total} {self.note(loss, top1)}", flush=True)

    def note(self, loss: float, top1: float = math.nan) -> str:
        """Loss, training accuracy, clips per second, share of waiting for data, memory and time left in training."""
        seconds, steps = self.waited + self.stepped, self._done - self._start
        left = seconds / steps * (self._total - self._done + self._later)
        memory = self._memory()
        parts = [training_figures(loss, top1), f"{self._clips * steps / max(seconds, 1e-9):.3g} clips/s"]
        parts.append(f"waiting for data {self.waited / max(seconds, 1e-9):.0%}")
        parts += [f"{memory / 2**30:.1f} GB"] if memory else []
        return ", ".join([*parts, f"{spell_time(left)} left"])

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _lap(self) -> float:
        """Seconds since the last call."""
        before, self._mark = self._mark, time.monotonic()
        return self._mark - before
