"""Framework-free definitions of the training losses: names, formulas and options. `backends/*/losses.py` compute them.

One label per clip: `cross_entropy`, on class indices (N,) or class probabilities (N, K), which mixed clips and teachers
have. With probabilities q and p = softmax(s), it is -sum_k w_k q_k (1 - p_k)^g log p_k, mean over clips. Label
smoothing mixes q with the uniform distribution (Szegedy et al. 2016, arXiv:1512.00567), g is `focal_gamma`.

Several labels per clip: all other losses, on zeros and ones (N, K). In the formulas, s are the logits of a clip, j runs
over its positive classes, i runs over its negative classes, w are class weights (1 by default), and r(j) is the number
of classes that score higher than j.

    lsep           log(1 + sum_j sum_i exp(s_i - s_j)), mean over clips          Li et al. 2017, arXiv:1704.03135
    wlsep          w_j log(1 + sum_i exp(s_i - s_j)), mean over all positives    Monfort et al. 2019, arXiv:1911.00232
    bce            sum over classes of w BCE(sigmoid(s), y), mean over clips
    bp_mll         sum_j w_j sum_i exp(s_i - s_j) / (|j| |i|), mean over clips   Zhang and Zhou 2006
    warp           w_j H(r(j) + 1) sum_i max(0, 1 + s_i - s_j), mean over all    Weston et al. 2011; Gong et al. 2013,
                   positives, with H(n) = 1 + 1/2 + ... + 1/n                    arXiv:1312.4894
    multi_softmax  -sum_j w_j log softmax(s)_j / |j|, mean over clips            Gong et al. 2013

Clips without positive classes contribute zero; where pairs are compared, so do clips without negative classes.
`bce` with focal_gamma weights the terms of positives with (1 - sigmoid(s))^g and those of negatives with sigmoid(s)^g
(Lin et al. 2017, arXiv:1708.02002). Log-sum-exp is computed without forming the exponentials, so every loss stays
finite except `bp_mll`, which grows exponentially.

`legacy_m4` reproduces the M4 code base and moments_models where they differ: `lsep` puts all pairs of a batch into
one logarithm; `bce` weights positives with 1 - w and negatives with w; `bp_mll` does not divide by the number of
pairs; `multi_softmax` divides by N K instead of the number of positives; in `warp`, r(j) is the class at rank j
instead of the rank of class j. M4's own `lsep` is called `wlsep` here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS

LossName = Literal["cross_entropy", "lsep", "wlsep", "bce", "bp_mll", "warp", "multi_softmax"]
ClassWeights = tuple[float, ...] | Literal["inverse_frequency", "balanced"]

MULTI_LABEL_LOSSES = ("lsep", "wlsep", "bce", "bp_mll", "warp", "multi_softmax")
_PAIRWISE = ("lsep", "wlsep", "bp_mll", "warp", "multi_softmax")  # these compare the classes of a clip with each other
_OVER_POSITIVES = ("wlsep", "warp")  # these average over positives, all others over clips
_OPTIONS = {
    "label_smoothing": ("cross_entropy", "bce"),
    "focal_gamma": ("cross_entropy", "bce"),
    "class_weights": ("cross_entropy", "wlsep", "bce", "bp_mll", "warp", "multi_softmax"),
    "legacy_m4": ("lsep", "bce", "bp_mll", "warp", "multi_softmax"),
}


@dataclass(frozen=True)
class GuideSpec:
    """How the class probabilities g of teachers enter a loss (Hinton et al. 2015, arXiv:1503.02531).

    With p = softmax(s / temperature), the loss becomes (1 - weight) * loss + weight * temperature^2 * KL, where KL is
    sum_k g_k log(g_k / p_k), mean over clips. Teachers compute g at the same temperature.

    If `symmetric`, the divergence in the other direction is added, and the labels keep their full weight, as for
    PaddleVideo's PP-TSMv2: loss + weight * temperature^2 * sum_k (g_k - p_k) log(g_k / p_k).

    Attributes:
        temperature: flattens g and p.
        weight: share of the teachers; if `symmetric`, a factor.
        symmetric: whether both directions of the divergence count.
    """

    temperature: float = 1.0
    weight: float = 0.0
    symmetric: bool = False

    @property
    def label_share(self) -> float:
        """Factor on the loss of the labels."""
        return 1.0 if self.symmetric else 1 - self.weight


@dataclass(frozen=True)
class LossSpec:
    """A training loss; see the table in the module docstring.

    Attributes:
        name: the loss.
        label_smoothing: `cross_entropy`: mixes the target with the uniform distribution; `bce`: with 1/2.
        focal_gamma: how much less clips that are classified well already count; 0 for all alike (2 in the paper).
        class_weights: K positive factors, or from the number of training clips per class: `inverse_frequency` is
            min(count) / count (moments_models); `balanced` is mean(count) / count, with a mean weight of 1 per clip.
        legacy_m4: reproduce the M4 code base.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    name: LossName = "cross_entropy"
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weights: ClassWeights | None = None
    legacy_m4: bool = False

    def __post_init__(self) -> None:
        for option, names in _OPTIONS.items():
            if getattr(self, option) and self.name not in names:
                raise RecipeError(
                    f"train.loss.{option}: {self.name} does not have this option; it is for {', '.join(names)}"
                )
        if not 0 <= self.label_smoothing < 1:
            raise RecipeError(f"train.loss.label_smoothing: {self.label_smoothing} is not in [0, 1)")
        if not 0 <= self.focal_gamma < math.inf:
            raise RecipeError(f"train.loss.focal_gamma: must be 0 or more, not {self.focal_gamma}")
        if isinstance(self.class_weights, tuple) and not all(weight > 0 for weight in self.class_weights):
            raise RecipeError("train.loss.class_weights: weights must be positive")

    @property
    def multi_label(self) -> bool:
        """Whether clips have several labels."""
        return self.name in MULTI_LABEL_LOSSES

    @property
    def compares_classes(self) -> bool:
        """Whether the loss compares classes with each other, so that a single class teaches nothing."""
        return self.name in _PAIRWISE

    @property
    def averages_positives(self) -> bool:
        """Whether the loss averages over positives, whose number varies from batch to batch, instead of over clips."""
        return self.name in _OVER_POSITIVES

    def terms(self, targets: np.ndarray) -> int:
        """Number of terms (clips or positives) that the loss averages for targets (N,) or (N, K)."""
        return int(targets.sum()) if self.averages_positives else len(targets)


def balanced(counts: np.ndarray) -> tuple[float, ...]:
    """Class weights mean(count) / count over the classes with clips; 1 for classes without clips."""
    mean = counts[counts > 0].mean() if counts.any() else 1.0
    return tuple(float(mean / count) if count else 1.0 for count in counts)


def inverse_frequency(counts: np.ndarray) -> tuple[float, ...]:
    """Class weights min(count) / count for class counts (K,); 1 for classes without clips."""
    least = min(counts[counts > 0], default=0)
    return tuple(float(least / count) if count else 1.0 for count in counts)
