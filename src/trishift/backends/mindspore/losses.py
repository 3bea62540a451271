"""The training losses; see `trishift.model.losses` for their formulas.

Shape legend: N clips, K classes; pairs (N, K, K) are (clip, positive, negative).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from trishift.model.losses import GuideSpec, LossSpec

Loss = Callable[[Tensor, Tensor], Tensor]
GuidedLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
_LOG_OF_NOTHING = -1e30  # finite, so that clips without pairs have zero gradients
_LEAST_SHARE = 1e-30  # of a class, whose logarithm is finite
_LEAST_DOUBT = 1e-12  # of 1 - p, whose powers below 1 have no gradient at 0


def loss(spec: LossSpec) -> Loss:
    """The loss function of a spec: logits (N, K) and targets (N,) or (N, K) to a scalar."""
    compute = _LOSSES[spec.name](spec)

    def of_logits(logits: Tensor, targets: Tensor) -> Tensor:
        return compute(logits.float(), targets)

    return of_logits


def guided_loss(spec: LossSpec, guide: GuideSpec) -> GuidedLoss:
    """The loss function of a spec, drawn towards class probabilities (N, K) of teachers if there are any."""
    own = loss(spec)
    label_share, share, symmetric = guide.label_share, guide.weight * guide.temperature**2, guide.symmetric

    def compute(logits: Tensor, targets: Tensor, probabilities: Tensor | None) -> Tensor:
        value = own(logits, targets)
        if probabilities is None:
            return value
        log_softmax = ops.log_softmax(logits.float() / guide.temperature, 1)
        surplus = ops.log(ops.maximum(probabilities, _LEAST_SHARE)) - log_softmax
        weights = probabilities - ops.exp(log_softmax) if symmetric else probabilities
        return label_share * value + share * (weights * surplus).sum(1).mean()

    return compute


def cross_entropy(spec: LossSpec) -> Loss:
    """Cross entropy with class indices (N,) or probabilities (N, K)."""
    weights = _weights(spec)

    def own(logits: Tensor, targets: Tensor) -> Tensor:
        return ops.cross_entropy(logits, targets, label_smoothing=spec.label_smoothing)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        classes = logits.shape[1]
        shares = targets if targets.ndim == 2 else ops.one_hot(targets, classes, 1.0, 0.0)
        shares = shares * (1 - spec.label_smoothing) + spec.label_smoothing / classes
        log_softmax = ops.log_softmax(logits, 1)
        terms = -weights * shares * log_softmax
        if spec.focal_gamma:
            terms = terms * ops.maximum(1 - ops.exp(log_softmax), _LEAST_DOUBT) ** spec.focal_gamma
        return terms.sum(1).mean()

    return own if spec.class_weights is None and not spec.focal_gamma else compute


def lsep(spec: LossSpec) -> Loss:
    """log(1 + sum over pairs); the sum factors into one over negatives and one over positives."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        pairs = _log_sum_exp(logits, targets < 0.5) + _log_sum_exp(-logits, targets > 0.5)
        return _softplus(ops.logsumexp(pairs, 0, True) if spec.legacy_m4 else pairs).mean()

    return compute


def wlsep(spec: LossSpec) -> Loss:
    """`lsep` per positive class, weighted."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        terms = _softplus(_log_sum_exp(logits, targets < 0.5).expand_dims(1) - logits)
        return _mean_over_positives(weights * terms, targets)

    return compute


def bce(spec: LossSpec) -> Loss:
    """Binary cross entropy per class."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        factors = weights
        if spec.legacy_m4 and spec.class_weights is not None:
            factors = (1 - weights) * targets + weights * (1 - targets)
        smooth = targets * (1 - spec.label_smoothing) + spec.label_smoothing / 2
        if spec.focal_gamma:
            terms = smooth * _softplus(-logits) * ops.exp(-spec.focal_gamma * _softplus(logits))
            terms = terms + (1 - smooth) * _softplus(logits) * ops.exp(-spec.focal_gamma * _softplus(-logits))
        else:
            terms = _softplus(logits) - smooth * logits
        return (factors * terms).sum(1).mean()

    return compute


def bp_mll(spec: LossSpec) -> Loss:
    """Exponential of the difference of each pair."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        positives = targets.sum(1)
        pairs = positives * (targets.shape[1] - positives)
        weighted = ops.log(weights) - logits
        log_sum = _log_sum_exp(logits, targets < 0.5) + _log_sum_exp(weighted, targets > 0.5)
        if not spec.legacy_m4:
            log_sum = log_sum - ops.log(ops.maximum(pairs, 1.0))
        return ops.exp(log_sum).mean()

    return compute


def warp(spec: LossSpec) -> Loss:
    """Hinge loss per pair, weighted more the lower the positive class ranks."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        differences = logits.expand_dims(1) - logits.expand_dims(2)  # (N, K, K)
        hinges = (ops.relu(1 + differences) * (1 - targets).expand_dims(1)).sum(2)
        ranks = (differences > 0).astype(mstype.int32).sum(2)
        if spec.legacy_m4:
            ranks = ops.sort(logits, 1, True)[1]
        harmonic = ops.cumsum(1 / ops.arange(1, logits.shape[1] + 1).astype(mstype.float32), 0)
        return _mean_over_positives(weights * ops.gather(harmonic, ranks, 0) * hinges, targets)

    return compute


def multi_softmax(spec: LossSpec) -> Loss:
    """Cross entropy with every positive class."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        terms = -weights * ops.log_softmax(logits, 1) * targets
        if spec.legacy_m4:
            return terms.mean()
        return (terms.sum(1) / ops.maximum(targets.sum(1), 1.0)).mean()

    return compute


_LOSSES: dict[str, Callable[[LossSpec], Loss]] = {
    "cross_entropy": cross_entropy,
    "lsep": lsep,
    "wlsep": wlsep,
    "bce": bce,
    "bp_mll": bp_mll,
    "warp": warp,
    "multi_softmax": multi_softmax,
}


def _weights(spec: LossSpec) -> Tensor:
    """Class weights, (K,) or a scalar 1."""
    return Tensor(np.array(spec.class_weights or 1.0, np.float32))


def _log_sum_exp(values: Tensor, where: Tensor) -> Tensor:
    """Log-sum-exp over the selected entries of each row: (N, K) to (N,)."""
    return ops.logsumexp(ops.where(where, values, _LOG_OF_NOTHING), 1)


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)); MindSpore's own overflows."""
    return ops.logsumexp(ops.stack([x, ops.zeros_like(x)]), 0)


def _mean_over_positives(terms: Tensor, targets: Tensor) -> Tensor:
    return (terms * targets).sum() / ops.maximum(targets.sum(), 1.0)
