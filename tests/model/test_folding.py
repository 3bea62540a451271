"""Convolutions that take over the shift before them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.support.layer_definitions import shifted

from trishift.model.folding import split_convs
from trishift.model.initialization import initial_tensors
from trishift.model.spec import ModelSpec, ShiftSpec

SPEC = ModelSpec("resnet50", 3, 4, width=8, shift=ShiftSpec(div=4))


@pytest.mark.parametrize(
    "shift", [SPEC.shift, ShiftSpec(div=4, direction="unidirectional"), ShiftSpec(div=8, order="past_first")], ids=str
)
def test_split_convolution_equals_the_convolution_of_shifted_features(shift: ShiftSpec) -> None:
    spec = replace(SPEC, shift=shift)
    entries = list(split_convs(spec, initial_tensors(spec, 0)))
    assert len(entries) == len(spec.shifted_blocks) == 16
    entry = entries[3]
    _, channels, *_ = entry.staying.shape
    x = np.random.default_rng(0).standard_normal((8, channels, 3, 2), np.float32)
    moving = x[:, : entry.moving.shape[1]]
    whole = np.einsum("kc,nchw->nkhw", entry.folded.weight[:, :, 0, 0], shifted(x, 4, shift))
    split = np.einsum("kc,nchw->nkhw", entry.staying[:, :, 0, 0], x)
    split += np.einsum("kc,nchw->nkhw", entry.moving[:, :, 0, 0], shifted(moving, 4, entry.shift))
    np.testing.assert_allclose(split, whole, atol=1e-5 * np.abs(whole).max())


def test_shifts_with_several_readers_stay() -> None:
    for spec in (replace(SPEC, shift=ShiftSpec(placement="block")), replace(SPEC, backbone="resnet18")):
        assert not list(split_convs(spec, initial_tensors(spec, 0)))
