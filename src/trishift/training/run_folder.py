"""The run folder.

recipe.yaml        the resolved recipe
metrics.jsonl      records of all steps and evaluations      tensorboard/   the same for TensorBoard
last.safetensors   the newest weights and the training state (momentum, position), in one file
best.safetensors   the weights with the best top-1 accuracy so far (several labels per clip: mAP)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trishift.backends.session import Session
from trishift.checkpoints.canonical import Checkpoint, save
from trishift.checkpoints.training_state import TrainingState, load_state, save_state
from trishift.errors import CheckpointError
from trishift.evaluation.thresholds import ENTRY
from trishift.io.atomic import make_folder
from trishift.recipe import Recipe, recipe_to_dict, save_recipe
from trishift.version import __version__


@dataclass(frozen=True)
class Position:
    """A point in a run: the next batch, and the best evaluation so far (its epoch and metrics)."""

    epoch: int = 0
    batch: int = 0
    iteration: int = 0
    best: dict[str, Any] | None = None


class RunFolder:
    """Writes the files of a run, each atomically."""

    def __init__(self, path: Path, labels: tuple[str, ...]) -> None:
        self.path = path
        self._labels = labels

    def create(self, recipe: Recipe) -> None:
        """Create the folder and write the resolved recipe.

        Raises:
            OutputError: the folder cannot be written.
        """
        make_folder(self.path)
        save_recipe(recipe, self.path / "recipe.yaml")

    def save_last(
        self, session: Session, recipe: Recipe, position: Position, thresholds: np.ndarray | None = None
    ) -> None:
        """Save everything needed to resume the run, in any framework.

        Args:
            session: holds the weights and the momentum.
            recipe: recipe of the run.
            position: where to resume.
            thresholds: thresholds of the last evaluation, see `evaluation/thresholds.py`, if any.
        """
        checkpoint = self._checkpoint(session, recipe, position, thresholds)
        state = TrainingState(
            epoch=position.epoch,
            batch=position.batch,
            iteration=position.iteration,
            seed=recipe.train.seed,
            momentum=session.dump_momentum(),
            best=position.best or {},
        )
        save_state(self.path / "last.safetensors", checkpoint, state)

    def save_best(
        self, session: Session, recipe: Recipe, position: Position, thresholds: np.ndarray | None = None
    ) -> None:
        """Save the weights only, for evaluation, prediction and export; same arguments as `save_last`."""
        save(self.path / "best.safetensors", self._checkpoint(session, recipe, position, thresholds))

    def _checkpoint(
        self, session: Session, recipe: Recipe, position: Position, thresholds: np.ndarray | None
    ) -> Checkpoint:
        meta = {
            "recipe": recipe_to_dict(recipe),
            "framework": session.framework,
            "version": __version__,
            "epoch": position.epoch,
            "metrics": position.best or {},
        }
        if thresholds is not None:
            meta[ENTRY] = thresholds.tolist()
        return Checkpoint(session.dump_tensors(), session.spec, recipe.input, self._labels, meta)


def load_run(path: Path, seed: int) -> tuple[Checkpoint, Position, dict[str, Any]]:
    """Load weights, position and momentum from a run folder or its `last.safetensors`.

    Raises:
        CheckpointError: there is no training state, or the seed differs: clip order and random draws could not be
            continued.
    """
    file = path / "last.safetensors" if path.is_dir() else path
    checkpoint, state = load_state(file)
    if state.seed != seed:
        raise CheckpointError(
            f"{path}: was trained with train.seed={state.seed}, but the recipe has {seed}; "
            f"set train.seed={state.seed} to resume it"
        )
    return checkpoint, Position(state.epoch, state.batch, state.iteration, state.best or None), state.momentum
