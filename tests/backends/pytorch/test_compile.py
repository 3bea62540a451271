"""PyTorch networks are single graphs: they compile without graph breaks and export with a free batch axis.

tests/export/test_parity.py exports the others.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, ParameterPlan
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.backends.pytorch.session import Session
from trishift.model.relations import draw_relations
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

SPECS = {
    "tsn": ModelSpec("resnet10", 3, 4, width=4),
    "tsm": ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec()),
    "tsm tpool": ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(placement="block"), temporal_pool=True),
    "tsm non-local": ModelSpec("resnet50", 3, 4, width=4, shift=ShiftSpec(), non_local=True),
    "online tsm": ModelSpec("mobilenet_v2", 3, 4, shift=ShiftSpec(direction="unidirectional")),
    "trn": ModelSpec("bn_inception", 3, 4, head=HeadSpec("multiscale_relation", relation_width=8)),
}


def clips(count: int) -> torch.Tensor:
    return torch.randn(count, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", SPECS)
def test_network_compiles_into_one_graph(name: str) -> None:
    network = Recognizer(SPECS[name]).eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.allclose(compiled(clips(2)), network(clips(2)), atol=1e-6)


def test_non_local_network_exports_with_a_free_batch_axis() -> None:
    network = Recognizer(SPECS["tsm non-local"]).eval()
    with torch.no_grad():
        free = {0: torch.export.Dim("clips", min=1)}
        program = torch.export.export(network, (clips(2),), dynamic_shapes=(free,))
        for count in (1, 3):
            assert torch.allclose(program.module()(clips(count)), network(clips(count)), atol=1e-5)


def test_compiled_session_equals_the_eager_one(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compile_(network, fullgraph=True, backend="aot_eager"))
    spec = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(), head=HeadSpec("multiscale_relation", 8))
    draws = Draws(
        np.ones((2, 4, spec.feature_width), np.float32), draw_relations(spec.head, 4, np.random.default_rng(0))
    )
    batch = MicroBatch(clips(2).numpy(), np.array([0, 2]), draws)
    results = []
    for compiled in (False, True):
        session = Session(spec, Execution(compile=compiled))
        session.prepare_training(OptimizationPlan({p.name: ParameterPlan(1, 1) for p in session.parameters()}))
        losses = [session.train_step([batch], lr=0.05).loss for _ in range(2)]
        pooled = session.features(batch.clips, ["pooled"])["pooled"]
        results.append((losses, session.predict(batch.clips), pooled))
    for eager, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-3, atol=1e-5)
