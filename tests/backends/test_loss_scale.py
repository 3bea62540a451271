"""Loss scaling for mixed precision, and the clipping factor."""

from __future__ import annotations

import numpy as np
import pytest

from trishift.backends.loss_scale import LossScale, clip_factor


def test_loss_scale_halves_on_overflow_and_grows_without() -> None:
    scale, nan, infinite = LossScale(enabled=True, factor=4, patience=2), float("nan"), float("inf")
    for norm, expected in [(1.0, 4), (1.0, 8), (infinite, 4), (1.0, 4), (nan, 2), (1.0, 2), (1.0, 4)]:
        assert scale.update(norm) == (norm == 1)
        assert scale.factor == expected


def test_disabled_loss_scale_takes_every_step() -> None:
    unscaled = LossScale(enabled=False)
    assert unscaled.update(float("nan"))
    assert unscaled.factor == 1


def test_clipping_never_scales_up() -> None:
    assert clip_factor(np.float32(5), 20.0) == 1
    assert clip_factor(float("nan"), None) == 1
    assert clip_factor(np.float32(40), 20.0) == pytest.approx(0.5, rel=1e-6)
