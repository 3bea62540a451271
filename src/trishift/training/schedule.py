"""Framework-free learning rate schedules, evaluated at every iteration."""

from __future__ import annotations

import math

from trishift.recipe import TrainSpec


def learning_rate(train: TrainSpec, epoch: float, steps_per_epoch: int = 1) -> float:
    """Base learning rate at a point of the run, before the factors of parameter groups.

    Args:
        train: the recipe's training section.
        epoch: completed epochs, with fractions: 2.5 is the middle of the third epoch.
        steps_per_epoch: optimizer steps per epoch, for a warm-up in steps.

    `step` is lr * gamma ** (milestones passed), `cosine` is lr / 2 * (1 + cos(pi * epoch / epochs)) (SGDR without
    restarts, arXiv:1608.03983), with a floor: lr * floor plus (1 - floor) times that. Both are multiplied by the linear
    warm-up.
    """
    base = train.scaled_lr
    if train.schedule == "step":
        rate = base * train.gamma ** sum(epoch >= milestone for milestone in train.milestones)
    else:
        floor = train.lr_floor
        rate = base * floor + (1 - floor) * base / 2 * (1 + math.cos(math.pi * epoch / train.epochs))
    warmup = train.warmup_epochs or train.warmup_steps / steps_per_epoch
    if epoch < warmup:
        rate *= epoch / warmup
    return rate


def average_decay(decay: float, steps: int) -> float:
    """Decay of the running mean of the weights after a number of optimizer steps: smaller at first.

    With (1 + steps) / (10 + steps), the untrained weights are forgotten soon, also in short runs.
    """
    return min(decay, (1 + steps) / (10 + steps))
