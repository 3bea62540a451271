"""How long a fine-tuning takes, measured before it starts, and how many epochs fit into a given time."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace

from trishift.backends.contract import MicroBatch
from trishift.backends.session import Session
from trishift.data.loader import Loader
from trishift.data.opening import open_datasets
from trishift.errors import RecipeError
from trishift.io.wording import counted, spell_time
from trishift.recipe import Recipe
from trishift.training.draws import draw_step
from trishift.training.parameter_groups import optimization_plan

LEAST_EPOCHS = 2
_UNITS = {"s": 1, "m": 60, "h": 3600}
_FORWARD = 1 / 3  # time of a forward pass, as a share of a training step


def read_time(text: str) -> float:
    """Seconds of `90s`, `30m`, `1.5h`, or a number of minutes.

    Raises:
        RecipeError: it is none of these, or zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip().lower())
    if match is None or not float(match[1]):
        raise RecipeError(f"--time {text}: write it as 90s, 30m or 2h")
    return float(match[1]) * _UNITS[match[2] or "m"]


@dataclass(frozen=True)
class Workload:
    """Runs of a fine-tuning.

    Attributes:
        training: training clips per epoch, over all runs.
        validation: validation clips per evaluation, over all runs.
        runs: number of runs.
        opening: seconds to open the data and the network of a run.
    """

    training: int
    validation: int
    runs: int
    opening: float = 0.0

    def seconds(self, epochs: int, per_clip: float) -> float:
        """Time of all runs; each also fits its probe, evaluates it, and evaluates every epoch."""
        forward = self.training + (1 + epochs) * self.validation
        return self.runs * self.opening + per_clip * (epochs * self.training + _FORWARD * forward)

    def affordable_epochs(self, limit: float, per_clip: float, wanted: int) -> int:
        """The epochs that fit into `limit` seconds, at most `wanted`.

        Raises:
            RecipeError: fewer than `LEAST_EPOCHS` fit.
        """
        least = min(LEAST_EPOCHS, wanted)
        fitting = [epochs for epochs in range(least, wanted + 1) if self.seconds(epochs, per_clip) <= limit]
        if not fitting:
            needed = self.seconds(least, per_clip)
            raise RecipeError(
                f"--time {spell_time(limit)}: {self.runs} runs of {counted(least, 'epoch', 'epochs')} take about "
                f"{spell_time(needed)}; use --time {spell_time(1.1 * needed)}, or fewer --folds or --seeds"
            )
        return fitting[-1]


def seconds_per_clip(recipe: Recipe, session: Session) -> float:
    """Seconds of training per clip, from two steps after a first one; the session keeps its weights."""
    train_set, _ = open_datasets(recipe.data, recipe.input, recipe.model, recipe.evaluation, validate=False)
    size = min(recipe.train.batch_size, len(train_set))
    weights = session.dump_tensors()
    train = replace(recipe.train, head_lr_mult=1.0)
    session.prepare_training(optimization_plan(session.parameters(), train, recipe.input.modality))
    began, timed = 0.0, 0
    for number, batch in enumerate(Loader(train_set, size, shuffle=True, workers=recipe.data.workers).batches(0)):
        draws = draw_step(session.spec, len(batch.targets), train.seed, number)
        session.train_step(
            [MicroBatch(batch.clips[:, 0], batch.targets, draws, normalization=train_set.normalization)], 0.0
        )
        if number:
            timed += len(batch.targets)
        else:
            began = time.perf_counter()
        if number == 2:
            break
    session.load_tensors(weights)
    return (time.perf_counter() - began) / max(1, timed)
