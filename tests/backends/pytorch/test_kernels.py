"""Kernels of GPUs where there is none: they are left out with a warning, and graphs are replayed as recorded."""

from __future__ import annotations

import logging
import sys

import pytest
import torch

from trishift.backends.pytorch.kernels import availability
from trishift.backends.pytorch.kernels.graphs import Replayed


def test_kernels_that_cannot_be_built(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(availability, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "trishift.backends.pytorch.kernels.products", None)
    with caplog.at_level(logging.WARNING):
        assert not availability.has_kernels.__wrapped__()
    assert "so shifts are slower copies; install a C compiler" in caplog.text


class FakeGraph:
    """A graph that computes when it is replayed."""

    def __init__(self, places: list[torch.Tensor], outputs: torch.Tensor) -> None:
        self.places, self.outputs = places, outputs

    def replay(self) -> None:
        self.outputs.copy_(2 * self.places[0])


def test_shape_is_replayed_from_its_fourth_call_on(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []

    def double(x: torch.Tensor) -> torch.Tensor:
        computed.append(len(x))
        return 2 * x

    def recorded(self: Replayed, inputs: tuple[torch.Tensor, ...]) -> tuple[FakeGraph, list, torch.Tensor]:
        places, outputs = [tensor.clone() for tensor in inputs], torch.zeros_like(inputs[0])
        return FakeGraph(places, outputs), places, outputs

    monkeypatch.setattr(Replayed, "_recorded", recorded)
    replayed = Replayed(double)
    found = [replayed(torch.full((2,), float(value))) for value in range(6)]
    assert [each.tolist() for each in found] == [[2.0 * value] * 2 for value in range(6)]  # each in its own memory
    assert replayed(torch.ones(3)).tolist() == [2.0] * 3
    assert computed == [2, 2, 2, 3]


def test_prediction_goes_on_where_nothing_can_be_recorded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def recorded(self: Replayed, inputs: tuple[torch.Tensor, ...]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Replayed, "_recorded", recorded)
    replayed = Replayed(lambda x: 2 * x)
    with caplog.at_level(logging.WARNING):
        found = [replayed(torch.ones(1)).item() for _ in range(8)]
    assert found == [2.0] * 8
    assert len(caplog.records) == 1 and "(CUDA out of memory), and goes on without" in caplog.text
