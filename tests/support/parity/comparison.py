"""How far two measurements of a case lie apart, and how far they may."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tests.support.parity.cases import Case

from trishift.model.tensors import Tensors

TOLERANCES = {
    "logits": 1e-4,
    "compiled logits": 1e-4,
    "loss": 1e-3,
    "gradients": 1e-3,
    "statistics": 1e-3,
    "losses": 1e-3,
    "weights": 1e-3,
    "momentum": 1e-3,
}
"""Largest relative difference that passes, for each quantity of `measure`."""

# Momentum holds the gradients of steps whose weights differ by rounding already. Two layers make much of that: a
# softmax that is nearly a maximum, and offsets near whole pixels, where the slope of a bilinear function jumps.
SENSITIVE = {
    ("tsn resnet34 gaussian", "momentum"): 2e-2,
    ("msn resnet14", "momentum"): 5e-2,
    ("msn resnet50", "momentum"): 5e-2,
    ("msn resnet50 16 segments", "momentum"): 5e-2,
}


def quantities(case: Case) -> set[str]:
    """What is compared of a case."""
    return set(TOLERANCES) if case.compiled else set(TOLERANCES) - {"compiled logits"}


@dataclass(frozen=True)
class Row:
    """The largest relative difference of one quantity from PyTorch's, and the tensor it was found in."""

    case: str
    framework: str
    quantity: str
    difference: float
    tensor: str

    @property
    def passes(self) -> bool:
        """Whether the difference is within the gate's tolerance."""
        return self.difference <= SENSITIVE.get((self.case, self.quantity), TOLERANCES[self.quantity])


def compare(case: Case, framework: str, expected: Tensors, measured: Tensors) -> list[Row]:
    """One row per quantity.

    A tensor's difference is max |a - b| over max |b|, where that is at least 1e-3 of the quantity's largest. A bias
    is measured against the weight of its layer where that is larger: in front of a batch norm its gradient is nothing
    but rounding.
    """
    if "compiled logits" in measured:
        expected = {**expected, "compiled logits": expected["logits"]}
    if expected.keys() != measured.keys():
        raise AssertionError(f"{case.name}: {framework} has other tensors: {sorted(expected.keys() ^ measured.keys())}")
    peaks = {name: float(np.abs(array).max()) for name, array in expected.items()}
    largest: dict[str, float] = {}
    for name, peak in peaks.items():
        quantity = name.partition("/")[0]
        largest[quantity] = max(peak, largest.get(quantity, 0.0))
    worst: dict[str, Row] = {}
    for name, array in expected.items():
        quantity, _, tensor = name.partition("/")
        scale = max(peaks[name], 1e-3 * largest[quantity])
        if name.endswith(".bias"):
            scale = max(scale, peaks.get(name.removesuffix("bias") + "weight", 0.0))
        difference = float(np.abs(measured[name] - array).max()) / scale
        if quantity not in worst or not difference <= worst[quantity].difference:
            worst[quantity] = Row(case.name, framework, quantity, difference, tensor)
    return list(worst.values())
