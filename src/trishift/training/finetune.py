"""Fine-tuning over folds and seeds: from the probe to a final model that is never below it.

OUT/data/                  lists of class folders
OUT/lists/                 the lists of all runs: train_0.csv, val_0.csv, ..., all.csv
OUT/probe.safetensors      the network with the probe of all clips as its head
OUT/fold-0-seed-1/ ...     one run folder per fold and seed, with scores.npz, the last epoch's logits
OUT/all-clips/             the run on all clips, unless the probe is shipped
OUT/model.safetensors      the final model
OUT/summary.json           the plan, all results and the choice
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import WINDOW, load, save
from trishift.checkpoints.files import FINAL_MODEL, RUN_FILES
from trishift.data.prepare.folds import ALL, LABELS, Folds
from trishift.errors import OutputError, TrainingError
from trishift.evaluation.evaluator import Evaluation
from trishift.io.atomic import write_text
from trishift.io.npz import read_npz, write_npz
from trishift.io.storage.folders import FolderCopy
from trishift.io.wording import counted, spell_time
from trishift.recipe import Recipe, recipe_to_dict
from trishift.training.budget import Workload, seconds_per_clip
from trishift.training.comparison import Comparison
from trishift.training.probe_study import save_probe, study_probe
from trishift.training.run import train
from trishift.training.run_folder import final_weights
from trishift.training.transfer import open_transfer

LISTS, PLAN, SUMMARY, SCORES = "lists", "plan.json", "summary.json", "scores.npz"
PROBE, MODEL, ON_ALL = "probe.safetensors", FINAL_MODEL, "all-clips"


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning: the same recipe in every fold, once per seed.

    Attributes:
        recipe: of the first run; its lists and its seed are replaced.
        framework: trains everything.
        folds: the clips.
        seeds: one run per seed and fold.
        output: see the module.
        trained: (F, N) bool, the training clips of every fold; None: all that it does not validate.
        copy: of the output in a store, if there is one.
    """

    recipe: Recipe
    framework: str
    folds: Folds
    seeds: Sequence[int]
    output: Path
    trained: np.ndarray | None = None
    copy: FolderCopy | None = None

    @property
    def runs(self) -> list[tuple[int, int]]:
        """(seed, fold) of every run, in order."""
        return [(seed, fold) for seed in self.seeds for fold in range(len(self.folds))]

    def write_lists(self) -> None:
        """Write the lists of all runs."""
        self.folds.write(self.output / LISTS, self.trained)

    def planned_epochs(self) -> int | None:
        """The epochs of the fine-tuning that the folder holds, if it is this one apart from its epochs.

        Raises:
            OutputError: the folder holds another fine-tuning.
        """
        path = self.output / PLAN
        if not path.is_file():
            return None
        plan = json.loads(path.read_text(encoding="utf-8"))
        epochs = int(plan["recipe"]["train"]["epochs"])
        if plan != json.loads(self.with_epochs(epochs).plan()):
            raise OutputError(
                f"{self.output}: holds another fine-tuning (other clips, weights or settings); "
                "choose another --output, or replace it with --overwrite"
            )
        return epochs

    def plan(self) -> str:
        """Everything that determines the runs, as JSON."""
        part = {} if self.trained is None else {"trained": [np.flatnonzero(mask).tolist() for mask in self.trained]}
        return json.dumps(
            {
                "recipe": recipe_to_dict(self.recipe),
                "framework": self.framework,
                "seeds": list(self.seeds),
                "clips": self.folds.names,
                "validated": [np.flatnonzero(mask).tolist() for mask in self.folds.validated],
                **part,
            }
        )

    def with_epochs(self, epochs: int) -> FineTuning:
        """The same with another number of epochs per run."""
        train = replace(self.recipe.train, epochs=epochs)
        return replace(self, recipe=replace(self.recipe, train=train))

    def clear(self) -> None:
        """Forget the results of earlier runs."""
        for path in (self.output / PLAN, *self.output.glob(f"*/{SCORES}"), *self.output.glob(f"*/{RUN_FILES[1]}")):
            path.unlink(missing_ok=True)

    def workload(self, opening: float, *, final: bool = True) -> Workload:
        """The clips of all runs; `opening` is the time to open a run in seconds, `final` adds the run on all clips."""
        validated, seeds = self.folds.validated, len(self.seeds)
        trained = ~validated if self.trained is None else self.trained
        training = seeds * int(trained.sum()) + final * len(self.folds.records)
        return Workload(training, seeds * int(validated.sum()), len(self.runs) + final, opening)

    def folder(self, seed: int, fold: int) -> Path:
        """The run folder of a fold and seed."""
        return self.output / f"fold-{fold}-seed-{seed}"

    def recipe_of(self, seed: int, fold: int | None) -> Recipe:
        """The recipe of a fold and seed; None for the run on all clips, without validation."""
        names = (ALL, None) if fold is None else (f"train_{fold}.csv", f"val_{fold}.csv")
        lists = self.output / LISTS
        data = replace(self.recipe.data, root=str(lists), clips=None, labels=LABELS, train_list=names[0])
        settings = replace(
            self.recipe.train, seed=seed, evaluate_every=self.recipe.train.evaluate_every if names[1] else 0
        )
        return replace(self.recipe, data=replace(data, val_list=names[1]), train=settings)

    def score(self, seed: int) -> np.ndarray:
        """(N, K) logits of the last epochs, each row from the fold that validates the clip; NaN if none does."""
        logits = np.full((len(self.folds.records), len(self.folds.labels)), np.nan)
        place = {name: row for row, name in enumerate(self.folds.names)}
        for fold in range(len(self.folds)):
            for name, scores in self._scores(seed, fold).items():
                if name in place:
                    logits[place[name]] = scores
        return logits

    def _scores(self, seed: int, fold: int) -> dict[str, np.ndarray]:
        """Clip to logits. An interrupted run continues, a finished one is not repeated."""
        folder = self.folder(seed, fold)
        if not (folder / SCORES).is_file():
            evaluation = self._train(folder, self.recipe_of(seed, fold))
            if evaluation is None:
                raise TrainingError(f"{folder}: the run is finished but has no scores; remove the folder to repeat it")
            _save_scores(folder / SCORES, evaluation)
        try:
            names, scores = read_npz(folder / SCORES, ("names", "scores"))
            return dict(zip(names.tolist(), scores, strict=True))
        except ValueError as error:
            raise TrainingError(
                f"{folder / SCORES}: is damaged ({error}); remove the folder to repeat its run"
            ) from None

    def _train(self, folder: Path, recipe: Recipe) -> Evaluation | None:
        resume = folder if (folder / RUN_FILES[1]).is_file() else None
        print(f"\n{folder.name}", flush=True)
        overwrite = resume is None
        return train(recipe, self.framework, folder, resume=resume, overwrite=overwrite, advise=False, copy=self.copy)

    def train_on_all(self) -> Checkpoint:
        """The weights after training on all clips with the first seed."""
        folder = self.output / ON_ALL
        self._train(folder, self.recipe_of(self.seeds[0], None))
        return load(final_weights(folder))


def _save_scores(path: Path, evaluation: Evaluation) -> None:
    write_npz(path, {"names": np.array(evaluation.names), "scores": evaluation.scores})


def finetune(tuning: FineTuning, *, limit: float | None = None, overwrite: bool = False) -> Comparison:
    """Probe, fine-tune in every fold, compare, and write the final model. Finished runs are not repeated.

    Args:
        tuning: the runs.
        limit: seconds for all of them, which lowers the epochs; None: those of the recipe.
        overwrite: replace another fine-tuning in the folder.

    Raises:
        RecipeError: the time is too short.
        OutputError: the folder holds another fine-tuning.
    """
    if overwrite:
        tuning.clear()
    epochs = tuning.planned_epochs()
    tuning.write_lists()
    recipe, labels = tuning.recipe, tuning.folds.labels
    began = time.perf_counter()
    session = open_transfer(recipe, tuning.framework, labels)
    opening = time.perf_counter() - began
    work = tuning.workload(opening)
    if epochs is None:
        per_clip = seconds_per_clip(tuning.recipe_of(tuning.seeds[0], 0), session)
        wanted = recipe.train.epochs
        epochs = wanted if limit is None else work.affordable_epochs(limit, per_clip, wanted)
        longest, shortest = (
            spell_time(each.seconds(epochs, per_clip)) for each in (work, tuning.workload(opening, final=False))
        )
        print(
            f"{work.runs} runs of {counted(epochs, 'epoch', 'epochs')}, about {longest}; {shortest} if the probe is "
            "shipped, without the run on all clips",
            flush=True,
        )
    tuning = tuning.with_epochs(epochs)
    write_text(tuning.output / PLAN, tuning.plan() + "\n")
    study = study_probe(recipe, session, tuning.folds)
    save_probe(tuning.output / PROBE, recipe, session, study)
    session.close()
    print(study.report(), flush=True)
    tuning = replace(tuning, folds=study.folds)
    comparison = Comparison(study, {seed: tuning.score(seed) for seed in tuning.seeds})
    ship(tuning, comparison)
    return comparison


def ship(tuning: FineTuning, comparison: Comparison) -> None:
    """Write the final model, the better of fine-tuning and the probe, and the summary."""
    checkpoint = load(tuning.output / PROBE)
    trained = load(final_weights(tuning.folder(tuning.seeds[0], 0)))
    if WINDOW in trained.meta:  # the probe has only seen features
        checkpoint = replace(checkpoint, meta={**checkpoint.meta, WINDOW: trained.meta[WINDOW]})
    if comparison.beats_probe:
        checkpoint = tuning.train_on_all()
        result = {comparison.study.metric[0]: comparison.result.mean}
        checkpoint = replace(checkpoint, meta={**checkpoint.meta, "metrics": result, **comparison.thresholds()})
    save(tuning.output / MODEL, checkpoint)
    write_text(tuning.output / SUMMARY, json.dumps(comparison.summary(), indent=2) + "\n")
