"""The training losses; see `trishift.model.losses` for their formulas.

Shape legend: N clips, K classes; pairs (N, K, K) are (clip, positive, negative).
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from trishift.model.losses import GuideSpec, LossSpec

Loss = Callable[[Tensor, Tensor], Tensor]
GuidedLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
_LOG_OF_NOTHING = -1e30  # finite, so that clips without pairs have zero gradients
_LEAST_SHARE = 1e-30  # of a class, whose logarithm is finite
_LEAST_DOUBT = 1e-12  # of 1 - p, whose powers below 1 have no gradient at 0


def loss(spec: LossSpec) -> Loss:
    """The loss function of a spec: logits (N, K) and targets (N,) or (N, K) to a scalar."""
    compute = _LOSSES[spec.name](spec)
    return lambda logits, targets: compute(logits.astype("float32"), targets)


def guided_loss(spec: LossSpec, guide: GuideSpec) -> GuidedLoss:
    """The loss function of a spec, drawn towards class probabilities (N, K) of teachers if there are any."""
    own = loss(spec)
    label_share, share, symmetric = guide.label_share, guide.weight * guide.temperature**2, guide.symmetric

    def compute(logits: Tensor, targets: Tensor, probabilities: Tensor | None) -> Tensor:
        value = own(logits, targets)
        if probabilities is None:
            return value
        log_softmax = _log_softmax(logits.astype("float32") / guide.temperature)
        surplus = probabilities.clip(min=_LEAST_SHARE).log() - log_softmax
        weights = probabilities - log_softmax.exp() if symmetric else probabilities
        return label_share * value + share * (weights * surplus).sum(1).mean()

    return compute


def cross_entropy(spec: LossSpec) -> Loss:
    """Cross entropy with class indices (N,) or probabilities (N, K)."""
    weights = _weights(spec)
    plain = spec == LossSpec()

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        if plain and targets.ndim == 1:
            return F.cross_entropy(logits, targets)  # with probabilities, it stops at -64
        classes = logits.shape[1]
        shares = targets if targets.ndim == 2 else F.one_hot(targets, classes)
        shares = shares * (1 - spec.label_smoothing) + spec.label_smoothing / classes
        log_softmax = _log_softmax(logits)
        terms = -weights * shares * log_softmax
        if spec.focal_gamma:
            terms = terms * (1 - log_softmax.exp()).clip(min=_LEAST_DOUBT) ** spec.focal_gamma
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
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        terms = F.softplus(_log_sum_exp(logits, targets < 0.5).unsqueeze(1) - logits)
        return _mean_over_positives(weights * terms, targets)

    return compute


def bce(spec: LossSpec) -> Loss:
    """Binary cross entropy per class."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        factors = weights
        if spec.legacy_m4 and spec.class_weights:
            factors = (1 - weights) * targets + weights * (1 - targets)
        smooth = targets * (1 - spec.label_smoothing) + spec.label_smoothing / 2
        if spec.focal_gamma:
            terms = smooth * F.softplus(-logits) * (-spec.focal_gamma * F.softplus(logits)).exp()
            terms = terms + (1 - smooth) * F.softplus(logits) * (-spec.focal_gamma * F.softplus(-logits)).exp()
        else:
            terms = F.softplus(logits) - smooth * logits  # Paddle's loss with logits has wrong gradients at 0
        return (factors * terms).sum(1).mean()

    return compute


def bp_mll(spec: LossSpec) -> Loss:
    """Exponential of the difference of each pair."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        positives = targets.sum(1)
        pairs = positives * (targets.shape[1] - positives)
        weighted = weights.log() - logits
        log_sum = _log_sum_exp(logits, targets < 0.5) + _log_sum_exp(weighted, targets > 0.5)
        return (log_sum if spec.legacy_m4 else log_sum - pairs.clip(min=1).log()).exp().mean()

    return compute


def warp(spec: LossSpec) -> Loss:
    """Hinge loss per pair, weighted more the lower the positive class ranks."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        differences = logits.unsqueeze(1) - logits.unsqueeze(2)  # (N, K, K)
        hinges = (F.relu(1 + differences) * (1 - targets).unsqueeze(1)).sum(2)
        ranks = logits.argsort(1, descending=True) if spec.legacy_m4 else (differences > 0).astype("int64").sum(2)
        harmonic = (1 / paddle.arange(1, logits.shape[1] + 1, dtype="float32")).cumsum(0)
        return _mean_over_positives(weights * harmonic[ranks] * hinges, targets)

    return compute


def multi_softmax(spec: LossSpec) -> Loss:
    """Cross entropy with every positive class."""
    weights = _weights(spec)

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        terms = -weights * _log_softmax(logits) * targets
        if spec.legacy_m4:
            return terms.mean()
        return (terms.sum(1) / targets.sum(1).clip(min=1)).mean()

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
    return paddle.to_tensor(spec.class_weights or 1.0, "float32")


def _log_softmax(logits: Tensor) -> Tensor:
    """Paddle's own stops at -64."""
    return logits - logits.logsumexp(1, keepdim=True)


def _log_sum_exp(values: Tensor, where: Tensor) -> Tensor:
    """Log-sum-exp over the selected entries of each row: (N, K) to (N,)."""
    return paddle.where(where, values, paddle.full_like(values, _LOG_OF_NOTHING)).logsumexp(1)


def _mean_over_positives(terms: Tensor, targets: Tensor) -> Tensor:
    return (terms * targets).sum() / targets.sum().clip(min=1)
