"""Differences between two measurements of a case, and their tolerances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tests.support.parity.cases import Case

from trishift.model.tensors import Tensors

GAP = "gap"
"""Recorded beside PyTorch's quantities: how close its max pools came to a tie in training (`ties`)."""

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
"""Largest relative difference that passes, per quantity of `measure`."""

# Momentum holds the gradients of steps whose weights already differ by rounding. Two layers amplify that: a softmax
# that is nearly a maximum, and offsets near whole pixels, where the slope of a bilinear function jumps.
SENSITIVE = {
    ("tsn resnet34 gaussian", "momentum"): 2e-2,
    ("msn resnet14", "momentum"): 5e-2,
    ("msn resnet50", "momentum"): 5e-2,
    ("msn resnet50 16 segments", "momentum"): 5e-2,
}


def quantities(case: Case) -> set[str]:
    """Compared quantities of a case."""
    return set(TOLERANCES) if case.compiled else set(TOLERANCES) - {"compiled logits"}


@dataclass(frozen=True)
class Row:
    """Largest relative difference of one quantity from PyTorch's, and the tensor that has it."""

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

    The difference of a tensor is max |a - b| over max |b|, but at least over 1e-3 of the quantity's largest value. A
    bias is measured relative to its layer's weight if that is larger: before a batch norm, its gradient is only
    rounding.
    """
    expected = {name: array for name, array in expected.items() if name != GAP}
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
