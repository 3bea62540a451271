"""Results of optimizer steps, read a few steps later, so that a GPU never waits for the host."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from trishift.backends.contract import StepResult
from trishift.errors import TrainingError
from trishift.training.sinks import MetricsLog

_STEPS_BETWEEN_READS = 10


@dataclass(frozen=True)
class Step:
    """An optimizer step and its result.

    Attributes:
        epoch: counted from 1.
        number: of the step in its epoch, from 1.
        iteration: of the run, from 0.
        lr: learning rate.
        result: result, perhaps still being computed.
    """

    epoch: int
    number: int
    iteration: int
    lr: float
    result: StepResult


class Results:
    """Logs and checks results in order, none of them left out.

    Args:
        log: gets a record per step, if there is one.
        device: on a CPU, every result is read at once.
        advice: ends the message about a loss that is not finite.

    Attributes:
        losses: all losses read so far.
        accuracies: the accuracy beside each, NaN with several labels per clip.
    """

    def __init__(self, log: MetricsLog | None, device: str, advice: Callable[[], str] = str) -> None:
        self._log, self._advice = log, advice
        self._most = 1 if device == "cpu" else _STEPS_BETWEEN_READS
        self._unread: list[Step] = []
        self.losses: list[float] = []
        self.accuracies: list[float] = []

    def add(self, step: Step) -> None:
        """Add the next step; reads all results if enough of them have gathered.

        Raises:
            TrainingError: a loss is not finite.
        """
        self._unread.append(step)
        if len(self._unread) >= self._most or not self.losses:
            self.read()

    def read(self) -> None:
        """Read, check and log all results; call it before anything is saved.

        Raises:
            TrainingError: a loss is not finite.
        """
        steps, self._unread = self._unread, []
        for step in steps:
            loss = step.result.loss
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at epoch {step.epoch}, step {step.number} (lr {step.lr:.3g}): "
                    f"lower train.lr or set train.clip_norm{self._advice()}"
                )
            accuracy = step.result.accuracy
            if self._log:
                norm = step.result.gradient_norm
                values = {
                    **{"loss": loss, "lr": step.lr, "gradient_norm": norm, "epoch": step.epoch},
                    **({} if math.isnan(accuracy) else {"top1": accuracy}),
                }
                self._log.write("train", step.iteration, values)
            self.losses.append(loss)
            self.accuracies.append(accuracy)

    def means(self) -> dict[str, float]:
        """The mean `loss` of what has been read, and `top1` unless clips have several labels."""
        top1 = fmean(self.accuracies)
        return {"loss": fmean(self.losses), **({} if math.isnan(top1) else {"top1": top1})}
