"""The training losses: their names, formulas and options, free of frameworks; `backends/*/losses.py` compute them.

One label a clip: `cross_entropy`, on class indices (N,), with label smoothing as in Szegedy et al. 2016
(arXiv:1512.00567). Several labels a clip: all others, on zeros and ones (N, K). In their formulas s are the logits of
a clip, j runs over its positive and i over its negative classes, w are class weights (1 unless given), and r(j) is
the number of classes that score higher than j.

    lsep           log(1 + sum_j sum_i exp(s_i - s_j)), mean over clips          Li et al. 2017, arXiv:1704.03135
    wlsep          w_j log(1 + sum_i exp(s_i - s_j)), mean over all positives    Monfort et al. 2019, arXiv:1911.00232
    bce            sum over classes of w BCE(sigmoid(s), y), mean over clips
    bp_mll         sum_j w_j sum_i exp(s_i - s_j) / (|j| |i|), mean over clips   Zhang and Zhou 2006
    warp           w_j H(r(j) + 1) sum_i max(0, 1 + s_i - s_j), mean over all    Weston et al. 2011; Gong et al. 2013,
                   positives, with H(n) = 1 + 1/2 + ... + 1/n                    arXiv:1312.4894
    multi_softmax  -sum_j w_j log softmax(s)_j / |j|, mean over clips            Gong et al. 2013

Clips without positive classes, or without negative ones where pairs are compared, are terms of zero. Logarithms of sums
of exponentials are taken without forming the exponentials: all but `bp_mll`, which grows like exp, stay finite.

With `legacy_m4` they are what the M4 code base and moments_models compute where that differs: `lsep` takes all pairs
of a batch into one logarithm, `bce` weights positives with 1 - w and negatives with w, `bp_mll` and `multi_softmax` do
not divide by the number of pairs or positives (the latter by N K), and in `warp` r(j) is the class that holds place j
of the ranking, instead of the place of class j. M4's own `lsep` is `wlsep` here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trishift.errors import RecipeError
from trishift.model.spec import FORBID_UNKNOWN_KEYS

LossName = Literal["cross_entropy", "lsep", "wlsep", "bce", "bp_mll", "warp", "multi_softmax"]
ClassWeights = tuple[float, ...] | Literal["inverse_frequency"]

MULTI_LABEL_LOSSES = ("lsep", "wlsep", "bce", "bp_mll", "warp", "multi_softmax")
_PAIRWISE = ("lsep", "wlsep", "bp_mll", "warp", "multi_softmax")  # compare a clip's classes with each other
_OVER_POSITIVES = ("wlsep", "warp")  # means over positives; all others are means over clips
_OPTIONS = {
    "label_smoothing": ("cross_entropy", "bce"),
    "class_weights": ("wlsep", "bce", "bp_mll", "warp", "multi_softmax"),
    "legacy_m4": ("lsep", "bce", "bp_mll", "warp", "multi_softmax"),
}


@dataclass(frozen=True)
class LossSpec:
    """A training loss, see the module's table.

    Attributes:
        name: which one.
        label_smoothing: `cross_entropy`: mixes the target with the uniform distribution; `bce`: with 1/2.
        class_weights: K positive factors, or `inverse_frequency`: min(count) / count of a class's training clips
            (moments_models).
        legacy_m4: as the M4 code base computes it.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    name: LossName = "cross_entropy"
    label_smoothing: float = 0.0
    class_weights: ClassWeights | None = None
    legacy_m4: bool = False

    def __post_init__(self) -> None:
        for option, names in _OPTIONS.items():
            if getattr(self, option) and self.name not in names:
                raise RecipeError(f"train.loss.{option}: {self.name} has none; it is for {', '.join(names)}")
        if not 0 <= self.label_smoothing < 1:
            raise RecipeError(f"train.loss.label_smoothing: {self.label_smoothing} is not in [0, 1)")
        if isinstance(self.class_weights, tuple) and not all(weight > 0 for weight in self.class_weights):
            raise RecipeError("train.loss.class_weights: weights must be positive")

    @property
    def multi_label(self) -> bool:
        """Whether clips have several labels."""
        return self.name in MULTI_LABEL_LOSSES

    @property
    def compares_classes(self) -> bool:
        """Whether a single class has nothing to learn from."""
        return self.name in _PAIRWISE

    @property
    def averages_positives(self) -> bool:
        """Whether its mean is over positives, of which equal batches have different numbers, and not over clips."""
        return self.name in _OVER_POSITIVES

    def terms(self, targets: np.ndarray) -> int:
        """Terms of the loss's mean over targets (N,) or (N, K): clips, or positives."""
        return int(targets.sum()) if self.averages_positives else len(targets)


def inverse_frequency(counts: np.ndarray) -> tuple[float, ...]:
    """Class weights min(count) / count of class counts (K,); 1 for classes that do not occur."""
    least = min(counts[counts > 0], default=0)
    return tuple(float(least / count) if count else 1.0 for count in counts)
