"""The training losses; see `trishift.model.losses` for their formulas.

Shape legend: N clips, K classes; pairs (N, K, K) are (clip, positive, negative).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from trishift.model.losses import GuideSpec, LossSpec

Loss = Callable[[Tensor, Tensor], Tensor]
GuidedLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
_LOG_OF_NOTHING = -1e30  # finite, so that clips without pairs have zero gradients
_LEAST_SHARE = 1e-30  # of a class, whose logarithm is finite
_LEAST_DOUBT = 1e-12  # of 1 - p, whose powers below 1 have no gradient at 0


def loss(spec: LossSpec) -> Loss:
    """The loss function of a spec: logits (N, K) and targets (N,) or (N, K) to a scalar."""
    compute = _LOSSES[spec.name](spec)
    return lambda logits, targets: compute(logits.float(), targets)


def guided_loss(spec: LossSpec, guide: GuideSpec) -> GuidedLoss:
    """The loss function of a spec, drawn towards class probabilities (N, K) of teachers if there are any."""
    own = loss(spec)
    label_share, share, symmetric = guide.label_share, guide.weight * guide.temperature**2, guide.symmetric

    def compute(logits: Tensor, targets: Tensor, probabilities: Tensor | None) -> Tensor:
        value = own(logits, targets)
        if probabilities is None:
            return value
        log_softmax = F.log_softmax(logits.float() / guide.temperature, 1)
        surplus = probabilities.clamp(min=_LEAST_SHARE).log() - log_softmax
        weights = probabilities - log_softmax.exp() if symmetric else probabilities
        return label_share * value + share * (weights * surplus).sum(1).mean()

    return compute


def cross_entropy(spec: LossSpec) -> Loss:
    """Cross entropy with class indices (N,) or probabilities (N, K)."""
    if spec.class_weights is None and not spec.focal_gamma:
        return lambda logits, targets: F.cross_entropy(logits, targets, label_smoothing=spec.label_smoothing)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        classes = logits.shape[1]
        shares = targets if targets.ndim == 2 else F.one_hot(targets, classes)
        shares = shares * (1 - spec.label_smoothing) + spec.label_smoothing / classes
        log_softmax = F.log_softmax(logits, 1)
        terms = -_weights(spec, logits) * shares * log_softmax
        if spec.focal_gamma:
            terms = terms * (1 - log_softmax.exp()).clamp(min=_LEAST_DOUBT) ** spec.focal_gamma
        return terms.sum(1).mean()

    return compute


def lsep(spec: LossSpec) -> Loss:
    """log(1 + sum over pairs); the sum factors into one over negatives and one over positives."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        pairs = _log_sum_exp(logits, targets < 0.5) + _log_sum_exp(-logits, targets > 0.5)
        return F.softplus(pairs.logsumexp(0) if spec.legacy_m4 else pairs).mean()

    return compute


def wlsep(spec: LossSpec) -> Loss:
    """`lsep` per positive class, weighted."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        terms = F.softplus(_log_sum_exp(logits, targets < 0.5)[:, None] - logits)
        return _mean_over_positives(_weights(spec, logits) * terms, targets)

    return compute


def bce(spec: LossSpec) -> Loss:
    """Binary cross entropy per class."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        weights = _weights(spec, logits)
        if spec.legacy_m4 and spec.class_weights:
            weights = (1 - weights) * targets + weights * (1 - targets)
        smooth = targets * (1 - spec.label_smoothing) + spec.label_smoothing / 2
        if spec.focal_gamma:
            terms = smooth * F.softplus(-logits) * (-spec.focal_gamma * F.softplus(logits)).exp()
            terms = terms + (1 - smooth) * F.softplus(logits) * (-spec.focal_gamma * F.softplus(-logits)).exp()
        else:
            terms = F.softplus(logits) - smooth * logits
        return (weights * terms).sum(1).mean()

    return compute


def bp_mll(spec: LossSpec) -> Loss:
    """Exponential of the difference of each pair."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        positives = targets.sum(1)
        pairs = positives * (targets.shape[1] - positives)
        weighted = _weights(spec, logits).log() - logits
        log_sum = _log_sum_exp(logits, targets < 0.5) + _log_sum_exp(weighted, targets > 0.5)
        return (log_sum if spec.legacy_m4 else log_sum - pairs.clamp(min=1).log()).exp().mean()

    return compute


def warp(spec: LossSpec) -> Loss:
    """Hinge loss per pair, weighted more the lower the positive class ranks."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        differences = logits[:, None, :] - logits[:, :, None]  # (N, K, K)
        hinges = ((1 + differences).relu() * (1 - targets)[:, None, :]).sum(2)
        ranks = logits.argsort(1, descending=True) if spec.legacy_m4 else (differences > 0).sum(2)
        harmonic = (1 / torch.arange(1, logits.shape[1] + 1, device=logits.device)).cumsum(0)
        return _mean_over_positives(_weights(spec, logits) * harmonic[ranks] * hinges, targets)

    return compute


def multi_softmax(spec: LossSpec) -> Loss:
    """Cross entropy with every positive class."""

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        terms = -_weights(spec, logits) * F.log_softmax(logits, 1) * targets
        if spec.legacy_m4:
            return terms.mean()
        return (terms.sum(1) / targets.sum(1).clamp(min=1)).mean()

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


def _weights(spec: LossSpec, logits: Tensor) -> Tensor:
    """Class weights, (K,) or a scalar 1."""
    return logits.new_tensor(spec.class_weights or 1.0)


def _log_sum_exp(values: Tensor, where: Tensor) -> Tensor:
    """Log-sum-exp over the selected entries of each row: (N, K) to (N,)."""
    return values.masked_fill(~where, _LOG_OF_NOTHING).logsumexp(1)


def _mean_over_positives(terms: Tensor, targets: Tensor) -> Tensor:
    return (terms * targets).sum() / targets.sum().clamp(min=1)
