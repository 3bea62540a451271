"""The start of a new head: from the probe's solution, and with steps that cannot overshoot.

A step of the head on one clip changes that clip's logits by rate x squared norm of its features x error. Where the
factor exceeds 2, each step is larger than the error that it corrects, and the head swings and drags the backbone along.
Pooled features of ImageNet networks have squared norms of about a thousand, so a usual rate of 2.5e-3 is too large.
`head_lr_mult: stable` makes the factor 1. Under AdamW, whose steps are the rate itself, the sum of the absolute
features takes the place of the squared norm.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from trishift.backends.session import Session
from trishift.data.dataset import EvaluationSet
from trishift.data.opening import open_evaluation_set
from trishift.data.protocol import Protocol
from trishift.errors import RecipeError
from trishift.evaluation.features import pooled_features
from trishift.recipe import Recipe, load_recipe
from trishift.training.probe import fit_probe

LARGEST_FACTOR = 5.0
"""The published factor, which `stable` never exceeds."""
_SAMPLE = 64  # clips that the norm of the features is measured on


def prepare_head(recipe: Recipe, session: Session, resumed: Path | None) -> Recipe:
    """Fit the head to the training clips if the recipe says so, and choose its learning rate.

    Args:
        recipe: recipe of the run.
        session: holds the initial weights; receives the head. Every rank fits the same.
        resumed: folder of the run to resume; its head is kept, and its factor is read from its recipe.

    Returns:
        The recipe with a numeric `train.head_lr_mult`.
    """
    train = recipe.train
    if resumed is not None:
        saved = resumed / "recipe.yaml"
        factor = load_recipe(saved).train.head_lr_mult if saved.is_file() else train.head_lr_mult
        if train.head_lr_mult == "stable" and factor != "stable":
            return _with_factor(recipe, factor)
    probes = train.head_start == "probe" and resumed is None
    if not probes and train.head_lr_mult != "stable":
        return recipe
    dataset = training_views(recipe)
    if not probes:
        dataset.keep(np.unique(np.linspace(0, len(dataset) - 1, _SAMPLE).astype(int)))
    size = max(1, train.batch_size // session.world_size)
    found, readable = pooled_features(session, dataset, batch_size=size, workers=recipe.data.workers)
    features, kept = found[readable], np.flatnonzero(readable)
    if probes:
        targets = np.array([dataset.target(index) for index in kept])
        groups = [dataset.group(index) for index in kept]
        probe = fit_probe(features, targets, recipe.model.num_classes, groups, seed=train.seed)
        session.load_tensors({**session.dump_tensors(), **probe.tensors()})
        if session.rank == 0:
            print(f"head: starts from the probe of {len(features)} clips, strength {probe.strength:g}", flush=True)
    if train.head_lr_mult != "stable":
        return recipe
    factor = stable_factor(recipe, features)
    if session.rank == 0:
        norm = float(np.square(features).sum(axis=1).mean())
        print(f"head: learning rate x {factor:g}, for features with a squared norm of {norm:,.0f}", flush=True)
    return _with_factor(recipe, factor)


def training_views(recipe: Recipe) -> EvaluationSet:
    """The training clips without augmentation: one clip, center crop.

    Raises:
        RecipeError: the recipe has no training list.
    """
    if recipe.data.train_list is None:
        raise RecipeError("data.train_list is not set; name a list of clips, for instance data.train_list=train.txt")
    data = dataclasses.replace(recipe.data, val_list=recipe.data.train_list)
    return open_evaluation_set(data, recipe.input, recipe.model, Protocol())


def stable_factor(recipe: Recipe, features: np.ndarray) -> float:
    """The factor on the head's learning rate at which its steps cannot overshoot.

    Args:
        recipe: determines rate, optimizer and dropout; dropout raises the mean square of the features.
        features: (N, F) pooled features of clips.
    """
    if recipe.train.optimizer.name == "sgd":
        size = np.square(features).sum(axis=1).mean() / (1 - recipe.model.dropout)
    else:
        size = np.abs(features).sum(axis=1).mean()
    factor = min(LARGEST_FACTOR, 1 / max(recipe.train.scaled_lr * float(size), 1e-12))
    return float(f"{factor:.3g}")


def _with_factor(recipe: Recipe, factor: float) -> Recipe:
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, head_lr_mult=factor))
