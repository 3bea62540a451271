"""The choice of the weights of a run that are kept."""

from __future__ import annotations

import dataclasses

from trishift.evaluation.metrics import Metrics, MultiLabelMetrics
from trishift.recipe import Recipe, TrainSpec
from trishift.recipe.options import METRICS, BestSpec
from trishift.training.run_folder import Position
from trishift.training.schedule import average_decay
from trishift.training.selection import out_of_patience, with_evaluation


def recipe(**best: object) -> Recipe:
    return Recipe(train=TrainSpec(best=BestSpec(**best), evaluate_every=2))  # type: ignore[arg-type]


def after(values: list[float], chosen: Recipe) -> Position:
    position = Position()
    for epoch, value in enumerate(values, 1):
        metrics = {"top1": value, "mean_class_accuracy": 1 - value}
        position = with_evaluation(dataclasses.replace(position, epoch=epoch), chosen, epoch, metrics)
    return position


def test_recipes_know_the_metrics_of_evaluations() -> None:
    for multi_label, metrics in ((False, Metrics), (True, MultiLabelMetrics)):
        assert sorted(METRICS[multi_label]) == sorted(field.name for field in dataclasses.fields(metrics))


def test_the_first_of_equal_evaluations_is_the_best() -> None:
    position = after([0.1, 0.4, 0.4, 0.3], recipe())
    assert position.best is not None and position.best["epoch"] == 2 and position.kept == []
    named = after([0.1, 0.4, 0.4, 0.3], recipe(metric="mean_class_accuracy"))
    assert named.best is not None and named.best["epoch"] == 1


def test_the_k_best_are_kept_in_order() -> None:
    position = after([0.1, 0.4, 0.2, 0.4, 0.3], recipe(keep=3))
    assert [entry["epoch"] for entry in position.kept] == [2, 4, 5]
    again = with_evaluation(position, recipe(keep=3), 5, {"top1": 0.3})  # of a resumed run
    assert [entry["epoch"] for entry in again.kept] == [2, 4, 5]


def test_patience_counts_evaluated_epochs() -> None:
    chosen = recipe(patience=4)
    position = dataclasses.replace(Position(), best={"epoch": 2, "top1": 0.5})
    stops = [out_of_patience(dataclasses.replace(position, epoch=epoch), chosen) for epoch in range(2, 8)]
    assert stops == [False, False, False, False, True, True]  # epoch 5 is not evaluated
    assert not out_of_patience(dataclasses.replace(position, epoch=99), recipe())


def test_average_forgets_untrained_weights_soon() -> None:
    assert average_decay(0.999, 0) == 0.1
    assert average_decay(0.999, 90) == 0.91
    assert average_decay(0.999, 10**5) == 0.999
