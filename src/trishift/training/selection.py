"""The weights of a run that are kept: the best ones, and when nothing better is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trishift.recipe import Recipe
from trishift.recipe.options import METRICS
from trishift.training.run_folder import Position


def metric_of(recipe: Recipe) -> str:
    """The metric that a recipe compares."""
    return recipe.train.best.metric or METRICS[recipe.model.multi_label][0]


def with_evaluation(position: Position, recipe: Recipe, epoch: int, metrics: Mapping[str, float]) -> Position:
    """The position after an evaluation of an epoch (from 1): a new best one, and the ones to keep, best first.

    Of equal evaluations, the earlier one counts as better.
    """
    name = metric_of(recipe)
    entry = {"epoch": epoch, **metrics}
    best = position.best
    if best is None or metrics[name] > best[name]:
        best = entry
    if recipe.train.best.keep == 1:
        return replace(position, best=best)
    others = [kept for kept in position.kept if kept["epoch"] != epoch]
    ranked = sorted([*others, entry], key=lambda kept: (-kept[name], kept["epoch"]))
    return replace(position, best=best, kept=ranked[: recipe.train.best.keep])


def out_of_patience(position: Position, recipe: Recipe) -> bool:
    """Whether the evaluations so far end the run early."""
    train = recipe.train
    if train.best.patience is None or position.best is None or not train.evaluate_every:
        return False
    evaluated = position.epoch - position.epoch % train.evaluate_every
    return bool(evaluated - position.best["epoch"] >= train.best.patience)
