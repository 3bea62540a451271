"""Learning curve of the whole network: trained by the recipe on every share of the clips, in every fold.

OUT/share-10/ ...   one folder per share, laid out like a fine-tuning: lists, plan and one run folder per fold
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trishift.data.prepare.folds import Folds
from trishift.errors import DataError
from trishift.evaluation.intervals import video_values
from trishift.io.atomic import write_text
from trishift.io.wording import counted, spell_time
from trishift.training.budget import seconds_per_clip
from trishift.training.finetune import PLAN, FineTuning
from trishift.training.learning_curve import SHARES, LearningCurve, check_classes, has_label, leaking, some_groups
from trishift.training.transfer import open_transfer


def trained_curve(
    tuning: FineTuning, alike: Sequence[frozenset[Path]] = (), *, overwrite: bool = False
) -> LearningCurve:
    """Train on every share of the clips in every fold, with the first seed. Finished runs are not repeated.

    Every run has the epochs of the recipe, so a smaller share makes fewer steps. The clips of a smaller share are among
    those of a larger one. Shares that do not fill a batch are named and left out.

    Args:
        tuning: the runs; `seeds` beyond the first are not used.
        alike: sets of clips that look alike, see `near_duplicates`.
        overwrite: replace other runs in the folder.

    Raises:
        DataError: there is only one class, or fewer than two shares fill a batch.
        OutputError: the folder holds other runs.
    """
    check_classes(tuning.folds)
    parts = [_part(tuning, share) for share in _usable_shares(tuning)]
    for part in parts:
        if overwrite:
            part.clear()
        part.planned_epochs()
        part.write_lists()
        write_text(part.output / PLAN, part.plan() + "\n")
    _announce(parts)
    logits = [part.score(part.seeds[0]) for part in parts]
    folds = tuning.folds
    validated = folds.validated.any(axis=0) & has_label(folds.targets)
    values = np.stack([video_values(each[validated], folds.targets[validated]) for each in logits])
    sizes = np.array([_trained(part).sum() / len(folds) for part in parts])
    groups: list[str] = np.array(folds.groups, object)[validated].tolist()
    return LearningCurve(folds, sizes, values, groups, alike, leaking(folds, alike)[validated], "training")


def _part(tuning: FineTuning, share: float) -> FineTuning:
    output = tuning.output / f"share-{round(100 * share)}"
    return replace(tuning, output=output, trained=clips_of_share(tuning.folds, share, tuning.recipe.train.seed))


def clips_of_share(folds: Folds, share: float, seed: int) -> np.ndarray:
    """(F, N) bool: a share of the training clips of every fold, in whole groups."""
    chosen = np.zeros_like(folds.validated)
    groups = np.array(folds.groups, object)
    for number, mask in enumerate(folds.validated):
        rng = np.random.default_rng((seed, number))  # the same order of groups for every share
        chosen[number, some_groups(np.flatnonzero(~mask), folds.targets, groups, share, rng)] = True
    return chosen


def _usable_shares(tuning: FineTuning) -> list[float]:
    """The shares that fill a batch in every fold."""
    batch, usable = tuning.recipe.train.batch_size, []
    for share in SHARES:
        fewest = int(_trained(_part(tuning, share)).sum(axis=1).min())
        if fewest >= batch:
            usable.append(share)
        else:
            clips = counted(fewest, "clip does", "clips do")
            print(f"note: {share:.0%} of the clips are left out: {clips} not fill a batch of {batch}", flush=True)
    if len(usable) < 2:
        raise DataError(
            f"{tuning.folds.name}: too few shares of the clips fill a batch of {batch}; lower train.batch_size"
        )
    return usable


def _trained(part: FineTuning) -> np.ndarray:
    assert part.trained is not None
    return part.trained


def _announce(parts: Sequence[FineTuning]) -> None:
    """Measure a few steps and say how long all runs take."""
    first = parts[-1]
    began = time.perf_counter()
    session = open_transfer(first.recipe, first.framework, first.folds.labels)
    opening = time.perf_counter() - began
    per_clip = seconds_per_clip(first.recipe_of(first.seeds[0], 0), session)
    session.close()
    epochs = first.recipe.train.epochs
    seconds = sum(part.workload(opening, final=False).seconds(epochs, per_clip) for part in parts)
    runs = sum(len(part.folds) for part in parts)
    print(f"{runs} runs of {counted(epochs, 'epoch')}, about {spell_time(seconds)}", flush=True)
