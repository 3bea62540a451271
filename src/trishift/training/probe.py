"""Linear probe: logistic regression on the frozen features of a network, as a head of that network.

It trains in seconds and is hard to beat with few clips: the number that fine-tuning has to reach, and its start
(linear probing, then fine-tuning: Kumar et al., arXiv:2202.10054).

Shape legend: N clips, F features, K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trishift.data.prepare.splitting import split
from trishift.errors import DataError
from trishift.evaluation.metrics import sigmoid, softmax
from trishift.model.tensors import Tensors

STRENGTHS = tuple(10.0**power for power in range(-5, 2))
"""Inverse regularization strengths to choose from, per unit of standardized features."""
INNER_FOLDS = 3
_DEFAULT_STRENGTH = 0.01  # where there are too few groups to choose one
_LEAST_PROBABILITY = 1e-6  # bounds the loss of a clip whose class the inner training folds lack


@dataclass(frozen=True)
class Probe:
    """A linear classifier of raw features, into which their standardization is folded.

    Attributes:
        weight: (K, F).
        bias: (K,).
        strength: the chosen inverse regularization strength.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, K) logits of (N, F) features, the regression's decision function."""
        result: np.ndarray = features.astype(np.float64) @ self.weight.T + self.bias
        return result

    def tensors(self) -> Tensors:
        """The tensors of a linear head."""
        return {
            "head.fc.weight": self.weight.astype(np.float32),
            "head.fc.bias": self.bias.astype(np.float32),
        }


def fit_probe(
    features: np.ndarray,
    targets: np.ndarray,
    num_classes: int,
    groups: Sequence[str],
    *,
    strength: float | None = None,
    seed: int = 0,
) -> Probe:
    """Fit logistic regression: one for all classes, or one per class if clips can have several labels.

    Args:
        features: (N, F), averaged over the frames of each clip.
        targets: (N,) class numbers, or (N, K) zeros and ones.
        num_classes: K.
        groups: N groups; the strength is chosen on folds that keep groups together, by the loss.
        strength: use this strength instead of choosing one.
        seed: seed of these folds.

    Raises:
        DataError: the clips are all of one class.
    """
    if targets.ndim == 1 and len(np.unique(targets)) < 2:
        raise DataError("probe: all training clips are of one class; a probe needs clips of two or more")
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale[scale < 1e-6 * max(scale.max(), 1e-12)] = 1.0  # features that never change
    rotated, axes = _rotated((features - mean) / scale)
    if strength is None:
        strength = _choose_strength(rotated, targets, num_classes, groups, seed)
    weight, bias = _regress(rotated, targets, num_classes, strength)
    weight = weight @ axes / scale
    return Probe(weight, bias - weight @ mean, strength)


def _rotated(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, R) coordinates and (R, F) axes: fewer clips than features span only R <= N directions.

    The penalty is the squared norm of the weights, which a rotation keeps, so the solution is the same.
    """
    if len(features) >= features.shape[1]:
        return features, np.eye(features.shape[1])
    left, values, axes = np.linalg.svd(features, full_matrices=False)
    return left * values, axes


def _choose_strength(
    features: np.ndarray, targets: np.ndarray, num_classes: int, groups: Sequence[str], seed: int
) -> float:
    """The strength with the lowest mean loss over inner folds."""
    number = min(INNER_FOLDS, len(set(groups)))
    if number < 2:
        return _DEFAULT_STRENGTH
    classes = targets if targets.ndim == 1 else targets.argmax(axis=1)
    part_of = split(classes.tolist(), groups, [1 / number] * number, seed)
    losses = np.zeros(len(STRENGTHS))
    for part in range(number):
        train, val = part_of != part, part_of == part
        if not val.any() or (targets.ndim == 1 and len(np.unique(targets[train])) < 2):
            continue
        for place, strength in enumerate(STRENGTHS):
            weight, bias = _regress(features[train], targets[train], num_classes, strength)
            losses[place] += _losses(features[val] @ weight.T + bias, targets[val]).sum()
    return STRENGTHS[int(losses.argmin())] if losses.any() else _DEFAULT_STRENGTH


def _losses(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) cross entropies, or sums of binary cross entropies."""
    if targets.ndim == 1:
        own = softmax(logits)[np.arange(len(targets)), targets]
        return -np.log(np.maximum(own, _LEAST_PROBABILITY))
    own = np.where(targets > 0, sigmoid(logits), sigmoid(-logits))
    total: np.ndarray = -np.log(np.maximum(own, _LEAST_PROBABILITY)).sum(axis=1)
    return total


def _regress(
    features: np.ndarray, targets: np.ndarray, num_classes: int, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """(K, R) weights and (K,) biases; a class without clips gets no weights and the probability of half a clip."""
    if targets.ndim == 2:
        columns = [_binary(features, column, strength) for column in targets.T > 0]
        return np.stack([weight for weight, _ in columns]), np.array([bias for _, bias in columns])
    model = _fitted(features, targets, strength)
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one decision function d, as logits -d/2 and d/2
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    full_weight = np.zeros((num_classes, features.shape[1]))
    full_bias = np.full(num_classes, bias.min() - np.log(2 * len(targets)))
    full_weight[model.classes_], full_bias[model.classes_] = weight, bias
    return full_weight, full_bias


def _binary(features: np.ndarray, positive: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """Weights and bias of one class against the rest; only a bias if all clips have it, or none has."""
    if positive.all() or not positive.any():
        rate = (positive.sum() + 0.5) / (len(positive) + 1)
        return np.zeros(features.shape[1]), float(np.log(rate / (1 - rate)))
    model = _fitted(features, positive, strength)
    return model.coef_[0], float(model.intercept_[0])


def _fitted(features: np.ndarray, targets: np.ndarray, strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():  # weak penalties converge slowly, and are then not chosen
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=300).fit(features, targets)
