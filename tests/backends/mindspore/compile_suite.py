"""MindSpore graphs behind a session: they follow the weights and serve smaller batches; see `test_session.py`."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor
from tests.support.sessions import CLIPS, assert_close, make_session, micro_batches, norms, trained

from trishift.backends.fast_forms import PATIENCE
from trishift.backends.mindspore import compiled


def test_graphs_train_like_eager_mode() -> None:
    frozen = norms(make_session())[1:]
    eager, graph = (trained(2, {"frozen": frozen, "clip_norm": 1.0}, compile=choice) for choice in (False, True))
    assert_close(graph.dump_tensors(), eager.dump_tensors(), rtol=1e-3, atol=1e-5)
    assert_close(graph.dump_optimizer(), eager.dump_optimizer(), rtol=1e-3, atol=1e-4)
    logits = eager.predict(CLIPS)
    np.testing.assert_allclose(graph.predict(CLIPS), logits, rtol=1e-3, atol=1e-5)
    losses = [session.train_step(micro_batches(), lr=0.02).loss for session in (graph, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)  # predictions leave the training graph alone


@pytest.mark.parametrize("choice", [False, True])
def test_graphs_follow_rate_momentum_and_weights(choice: bool | None) -> None:
    session = trained(1, {"momentum": 0.5, "weight_decay": 0.0}, compile=choice)
    weight, first = "head.fc.weight", session.dump_tensors()
    logits = session.predict(CLIPS[:2])
    session.train_step(micro_batches(), lr=0.0)
    assert np.array_equal(session.dump_tensors()[weight], first[weight])
    session.load_optimizer({f"momentum.{weight}": np.ones_like(first[weight])})
    _, gradients = session.gradients(micro_batches()[0])
    session.train_step(micro_batches(), lr=0.1)
    stepped = first[weight] - 5 * 0.1 * (0.5 + gradients[weight])
    np.testing.assert_allclose(session.dump_tensors()[weight], stepped, rtol=1e-4, atol=1e-6)
    assert not np.allclose(session.predict(CLIPS[:2]), logits)
    session.load_tensors(first)
    np.testing.assert_allclose(session.predict(CLIPS[:2]), logits, rtol=1e-5, atol=1e-7)


def test_smaller_last_batch_reuses_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    session, expected = make_session(compile=True), make_session().predict(CLIPS)
    shapes: list[tuple[int, ...]] = []
    run = compiled.Pass.__call__

    def spy(self: compiled.Pass, clips: Tensor, relations: tuple[Tensor, ...] | None) -> Tensor:
        shapes.append(clips.shape)
        return run(self, clips, relations)

    monkeypatch.setattr(compiled.Pass, "__call__", spy)
    for part in (slice(0, 3), slice(3, 4)):
        np.testing.assert_allclose(session.predict(CLIPS[part]), expected[part], rtol=1e-4, atol=1e-6)
    assert shapes == [(3, *CLIPS.shape[1:])] * 2


@pytest.mark.parametrize(("choice", "eager_calls"), [(True, 0), (None, PATIENCE), (False, 20)])
def test_compiles_once_it_pays_off(choice: bool | None, eager_calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.mindspore, "jit", lambda function: lambda: "graph")
    run = compiled.Pass(lambda: "operators", choice)
    results = [run() for _ in range(20)]
    assert results == ["operators"] * eager_calls + ["graph"] * (20 - eager_calls)
