"""Framework-free learning rate schedules, evaluated at every iteration."""

from __future__ import annotations

import math

from trishift.recipe import TrainSpec


def learning_rate(train: TrainSpec, epoch: float) -> float:
    """Base learning rate at a point of the run, before the factors of parameter groups.

    Args:
        train: the recipe's training section.
        epoch: completed epochs, with fractions: 2.5 is the middle of the third epoch.

    `step` is lr * gamma ** (milestones passed), `cosine` is lr / 2 * (1 + cos(pi * epoch / epochs)) (SGDR without
    restarts, arXiv:1608.03983). Both are multiplied by the linear warm-up.
    """
    base = train.scaled_lr
    if train.schedule == "step":
        rate = base * train.gamma ** sum(epoch >= milestone for milestone in train.milestones)
    else:
        rate = base / 2 * (1 + math.cos(math.pi * epoch / train.epochs))
    if epoch < train.warmup_epochs:
        rate *= epoch / train.warmup_epochs
    return rate
