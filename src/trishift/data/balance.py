"""Balanced sampling: how often the clips of each class appear in an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trishift.errors import DataError, RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.io.wording import shown_first


@dataclass(frozen=True)
class BalanceSpec:
    """Balanced sampling of training clips, in a recipe. An epoch keeps its number of clips.

    Attributes:
        by: `none`: each clip once per epoch; `class`: every class equally often; `square_root`: in proportion to the
            square root of its number of clips; `effective_number`: in proportion to n / E(n), where the effective
            number of n clips is E(n) = (1 - beta^n) / (1 - beta) (Cui et al. 2019, arXiv:1901.05555).
        beta: of `effective_number`: at 0 classes keep their proportions, close to 1 they appear equally often.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    by: Literal["none", "class", "square_root", "effective_number"] = "none"
    beta: float = 0.999

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise RecipeError(f"data.balance.beta: {self.beta:g} is not in [0, 1)")


def check_balance(class_names: Sequence[str], counts: np.ndarray, list_name: str | None) -> None:
    """Raise a DataError if a class has no clips to draw."""
    empty = [repr(name) for name, count in zip(class_names, counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"{list_name}: there are no clips of {shown_first(empty, 3)}, so data.balance cannot draw any; "
            "add clips, remove the class from the label file, or set data.balance=none"
        )


def class_shares(counts: np.ndarray, spec: BalanceSpec) -> np.ndarray:
    """The fraction of an epoch that each class gets.

    Args:
        counts: (K,) clips per class.
        spec: the rule; not `none`.

    Returns:
        (K,) float64 with sum 1; 0 for classes without clips.
    """
    clips = np.maximum(counts, 1).astype(np.float64)
    amounts = {
        "class": np.ones_like(clips),
        "square_root": np.sqrt(clips),
        "effective_number": clips / _effective_number(clips, spec.beta),
    }[spec.by]
    amounts[counts == 0] = 0
    return amounts / amounts.sum()


def _effective_number(clips: np.ndarray, beta: float) -> np.ndarray:
    return (1 - beta**clips) / (1 - beta)


def balanced_order(labels: np.ndarray, spec: BalanceSpec, rng: np.random.Generator) -> np.ndarray:
    """Draw the clips of an epoch in random order.

    A class with n clips and a share of m places appears m times, rounded up or down, and each of its clips m / n times,
    rounded up or down, so all clips of a rare class are used before one repeats.

    Args:
        labels: (N,) class of each clip.
        spec: the rule.
        rng: random generator.

    Returns:
        (N,) int64 indices of clips.
    """
    counts = np.bincount(labels)
    uses = len(labels) * (class_shares(counts, spec) / np.maximum(counts, 1))[labels]
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    ends = np.cumsum(uses[by_class]) * (len(labels) / uses.sum())
    places = np.searchsorted(ends, rng.random() + np.arange(len(labels)), side="right")
    return rng.permutation(by_class[np.minimum(places, len(labels) - 1)])
