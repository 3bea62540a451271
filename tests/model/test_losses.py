"""The losses compared with float64 autograd of their formulas, written pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.support import isolated
from tests.support.installed import INSTALLED
from tests.support.loss_cases import BATCHES, SPECS, Batch, fits, in_pytorch
from torch import Tensor

from trishift.errors import RecipeError
from trishift.model.losses import LossSpec, balanced, inverse_frequency

EXPLODES = "bp_mll"  # exp(1000) overflows float32


def formula(spec: LossSpec, logits: Tensor, targets: Tensor) -> Tensor:
    """The formulas of `trishift.model.losses` with one term per pair, in the precision of the logits."""
    weights = logits.new_tensor(spec.class_weights or [1.0] * logits.shape[1])
    if spec.name == "cross_entropy":
        return cross_entropy(spec, logits, targets, weights)
    clips = [_Clip(row, [bool(y) for y in target], weights) for row, target in zip(logits, targets, strict=True)]
    terms = [term for clip in clips for term in getattr(clip, spec.name)(spec)]
    total = torch.stack([*terms, logits.sum() * 0]).sum()
    if spec.name == "lsep" and spec.legacy_m4:
        return torch.log1p(total)
    if spec.name in ("wlsep", "warp"):
        return total / max(len(terms), 1)
    return total / (logits.numel() if spec.name == "multi_softmax" and spec.legacy_m4 else len(logits))


def cross_entropy(spec: LossSpec, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    classes = logits.shape[1]
    shares = torch.eye(classes)[targets] if targets.ndim == 1 else targets
    total = logits.new_zeros(())
    for s, q in zip(logits, shares, strict=True):
        for k in range(classes):
            p = torch.exp(s[k] - torch.logsumexp(s, 0))
            share = q[k] * (1 - spec.label_smoothing) + spec.label_smoothing / classes
            total = total - weights[k] * share * (1 - p) ** spec.focal_gamma * torch.log(p)
    return total / len(logits)


class _Clip:
    """One clip: the terms of each loss before averaging."""

    def __init__(self, logits: Tensor, targets: list[bool], weights: Tensor) -> None:
        self.s, self.w = logits, weights
        self.positives = [k for k, y in enumerate(targets) if y]
        self.negatives = [k for k, y in enumerate(targets) if not y]

    def exponentials(self, j: int) -> Tensor:
        return sum((torch.exp(self.s[i] - self.s[j]) for i in self.negatives), self.s.new_zeros(()))

    def lsep(self, spec: LossSpec) -> list[Tensor]:
        pairs = sum((self.exponentials(j) for j in self.positives), self.s.new_zeros(()))
        return [pairs if spec.legacy_m4 else torch.log1p(pairs)]

    def wlsep(self, spec: LossSpec) -> list[Tensor]:
        return [self.w[j] * torch.log1p(self.exponentials(j)) for j in self.positives]

    def bce(self, spec: LossSpec) -> list[Tensor]:
        terms = []
        for k in range(len(self.s)):
            y = float(k in self.positives)
            weight = self.w[k]
            if spec.legacy_m4:
                weight = 1 - weight if y else weight
            smooth = (1 - spec.label_smoothing) * y + spec.label_smoothing / 2
            p = torch.sigmoid(self.s[k])
            positive, negative = (1 - p) ** spec.focal_gamma * torch.log(p), p**spec.focal_gamma * torch.log(1 - p)
            terms.append(-weight * (smooth * positive + (1 - smooth) * negative))
        return terms

    def bp_mll(self, spec: LossSpec) -> list[Tensor]:
        pairs = 1 if spec.legacy_m4 else max(len(self.positives) * len(self.negatives), 1)
        return [self.w[j] * self.exponentials(j) / pairs for j in self.positives]

    def warp(self, spec: LossSpec) -> list[Tensor]:
        order = sorted(range(len(self.s)), key=lambda k: -float(self.s[k].detach()))
        terms = []
        for j in self.positives:
            rank = order[j] if spec.legacy_m4 else sum(bool(other > self.s[j]) for other in self.s)
            harmonic = sum(1 / n for n in range(1, rank + 2))
            hinges = [torch.clamp(1 + self.s[i] - self.s[j], min=0) for i in self.negatives]
            terms.append(self.w[j] * harmonic * sum(hinges, self.s.new_zeros(())))
        return terms

    def multi_softmax(self, spec: LossSpec) -> list[Tensor]:
        share = 1 if spec.legacy_m4 else max(len(self.positives), 1)
        logarithms = self.s - torch.logsumexp(self.s, 0)
        return [-self.w[j] * logarithms[j] / share for j in self.positives]


def expected(spec: LossSpec, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    logits = torch.tensor(batch.logits, dtype=torch.float64, requires_grad=True)
    value = formula(spec, logits, torch.tensor(batch.targets))
    value.backward()
    assert logits.grad is not None
    return value.detach().numpy(), logits.grad.numpy()


Computed = dict[str, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    """Values and gradients by framework."""
    folder = tmp_path_factory.mktemp("losses")
    found = {}
    for framework in INSTALLED:
        isolated.experiment("loss_cases", framework, folder / f"{framework}.npz")
        with np.load(folder / f"{framework}.npz") as file:
            found[framework] = dict(file)
    return found


@pytest.mark.parametrize("name", SPECS)
def test_values_and_gradients_match_the_formula(name: str, computed: Computed) -> None:
    spec = SPECS[name]
    for batch_name in ("ordinary", "equal", "indices", "mixed"):
        batch = BATCHES[batch_name]
        if not fits(spec, batch):
            continue
        value, gradient = expected(spec, batch)
        for framework, results in computed.items():
            keys = [batch_name, "compiled"] if (framework, batch_name) == ("mindspore", "ordinary") else [batch_name]
            for key in keys:
                found = (results[f"{name}/{key}/{part}"] for part in ("value", "gradient"))
                assert next(found) == pytest.approx(value, rel=1e-5), (framework, key)
                close = pytest.approx(gradient, rel=1e-4, abs=1e-6 * np.abs(gradient).max())
                assert next(found) == close, (framework, key)


@pytest.mark.parametrize("name", [name for name in SPECS if not name.startswith(EXPLODES)])
def test_distant_logits_stay_finite(name: str, computed: Computed) -> None:
    scaled = Batch(BATCHES["far apart"].logits * np.float32(0.5), BATCHES["far apart"].targets)
    half, _ = in_pytorch(SPECS[name], scaled)
    for framework, results in computed.items():
        value, gradient = (results[f"{name}/far apart/{part}"] for part in ("value", "gradient"))
        assert np.isfinite(value) and np.isfinite(gradient).all(), framework
        if name != "lsep of a batch":  # its float64 formula overflows as well
            assert value == pytest.approx(2 * half, rel=0.01), framework  # all grow linearly far from zero


@pytest.mark.parametrize("name", SPECS)
def test_clips_without_pairs_contribute_zero(name: str, computed: Computed) -> None:
    spec = SPECS[name]
    for batch_name in ("nothing", "everything", "one class"):
        if not fits(spec, BATCHES[batch_name]):
            continue
        for framework, results in computed.items():
            value, gradient = (results[f"{name}/{batch_name}/{part}"] for part in ("value", "gradient"))
            assert np.isfinite(value) and np.isfinite(gradient).all(), (framework, batch_name)
            if spec.name in ("lsep", "wlsep", "bp_mll", "warp"):  # Paddle's exp does not reach 0
                assert abs(value) < 1e-30 and (abs(gradient) < 1e-30).all(), (framework, batch_name)


# Sixteenths, so that adding 8 is exact: rounding could make different logits equal.
ROWS = arrays(np.float32, (4, 5), elements=st.integers(-320, 320).map(lambda n: n / 16))
LABELS = arrays(np.float32, (4, 5), elements=st.sampled_from([0.0, 1.0]))


@settings(max_examples=30)
@given(ROWS, LABELS, st.sampled_from(["lsep", "wlsep", "warp", "multi_softmax"]))
def test_only_differences_of_logits_matter(logits: np.ndarray, targets: np.ndarray, name: str) -> None:
    value, gradient = in_pytorch(LossSpec(name), Batch(logits, targets))
    moved, _ = in_pytorch(LossSpec(name), Batch(logits + np.float32(8), targets))
    assert value >= 0
    assert moved == pytest.approx(value, rel=1e-3, abs=1e-5)
    assert gradient.sum(1) == pytest.approx(np.zeros(4), abs=1e-3 * max(float(np.abs(gradient).max()), 1))


@settings(max_examples=30)
@given(ROWS, LABELS, st.sampled_from([LossSpec(name) for name in ("lsep", "wlsep", "bce", "warp", "multi_softmax")]))
def test_weighted_micro_batches_equal_the_batch(logits: np.ndarray, targets: np.ndarray, spec: LossSpec) -> None:
    parts = [Batch(logits[part], targets[part]) for part in (slice(0, 1), slice(1, 4))]
    terms = [spec.terms(part.targets) for part in parts]
    values = [in_pytorch(spec, part)[0] for part in parts]
    mean = sum(n * value for n, value in zip(terms, values, strict=True)) / max(sum(terms), 1)
    assert mean == pytest.approx(in_pytorch(spec, Batch(logits, targets))[0], rel=1e-4, abs=1e-5)


def test_rare_classes_weigh_more() -> None:
    assert balanced(np.array([10, 40, 0, 10])) == (2.0, 0.5, 1.0, 2.0)
    assert balanced(np.zeros(2, int)) == (1.0, 1.0)
    assert inverse_frequency(np.array([10, 40, 0, 20])) == (1.0, 0.25, 1.0, 0.5)
    assert inverse_frequency(np.zeros(2, int)) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"name": "lsep", "label_smoothing": 0.1},
            "label_smoothing: lsep does not have this option; it is for cross_entropy, bce",
        ),
        ({"name": "lsep", "class_weights": (1.0,)}, "class_weights: lsep does not have this option"),
        ({"name": "wlsep", "focal_gamma": 2.0}, "focal_gamma: wlsep does not have this option; it is for cross_ent"),
        ({"focal_gamma": -1.0}, "focal_gamma: must be 0 or more, not -1"),
        ({"name": "wlsep", "class_weights": (1.0, 0.0)}, "must be positive"),
        ({"name": "wlsep", "legacy_m4": True}, "legacy_m4: wlsep does not have this option"),
        ({"label_smoothing": 1.0}, r"is not in \[0, 1\)"),
    ],
)
def test_rejects_options_of_other_losses(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        LossSpec(**options)
