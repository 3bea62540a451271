"""What only MindSpore has: graphs, names of parameters, its shift and deformable convolution; see `test_layers.py`."""

from __future__ import annotations

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, ops
from tests.support.deformable_taps import convolve, slopes_at_rest
from tests.support.sessions import CLIPS, RNG, assert_close, make_session, micro_batches, norms, trained

from trishift.backends.mindspore import compiled
from trishift.backends.mindspore.deformable import DeformableConv
from trishift.backends.mindspore.temporal_shift import temporal_shift
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize(
    ("shift", "sources"),  # the first channels of frame t come from t + these
    [
        (ShiftSpec(div=4), (1, 1, -1, -1, 0, 0, 0, 0)),
        (ShiftSpec(div=4, order="past_first"), (-1, -1, 1, 1, 0, 0, 0, 0)),
        (ShiftSpec(div=8, direction="unidirectional"), (-1, 0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_shift_moves_channels_along_time(segments: int, shift: ShiftSpec, sources: tuple[int, ...]) -> None:
    x = RNG.standard_normal((2, segments, 8, 2, 3)).astype(np.float32)
    expected = np.zeros_like(x)
    for t in range(segments):
        for channel, source in enumerate(sources):
            if 0 <= t + source < segments:
                expected[:, t, channel] = x[:, t + source, channel]
    shifted = temporal_shift(Tensor(x.reshape(-1, 8, 2, 3)), segments, shift).asnumpy()
    assert np.array_equal(shifted.reshape(x.shape), expected)


@pytest.mark.parametrize("backbone", ["resnet10", "mobilenet_v2", "bn_inception"])
def test_parameter_names_are_the_paths_of_their_cells(backbone: str) -> None:
    spec = ModelSpec(backbone, 3, num_segments=3, head=HeadSpec("multiscale_relation"))
    session = make_session(spec)
    parameters = list(session.network.get_parameters())
    assert len(session.tensor_shapes()) == len(parameters) == len({parameter.name for parameter in parameters})
    for path, cell in session.network.cells_and_names():
        for parameter in cell.get_parameters(expand=False):
            assert parameter.name.rpartition(".")[0] == path


def test_graphs_train_like_single_operators() -> None:
    frozen = norms(make_session())[1:]
    eager, graph = (trained(2, {"frozen": frozen, "clip_norm": 1.0}, compile=choice) for choice in (False, True))
    assert_close(graph.dump_tensors(), eager.dump_tensors(), rtol=1e-3, atol=1e-5)
    assert_close(graph.dump_momentum(), eager.dump_momentum(), rtol=1e-3, atol=1e-4)
    logits = eager.predict(CLIPS)
    np.testing.assert_allclose(graph.predict(CLIPS), logits, rtol=1e-3, atol=1e-5)
    losses = [session.train_step(micro_batches(), lr=0.02).loss for session in (graph, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)  # predictions leave the training graph alone


@pytest.mark.parametrize("choice", [False, True])
def test_later_rates_momentum_and_weights_reach_the_graphs(choice: bool | None) -> None:
    session = trained(1, {"momentum": 0.5, "weight_decay": 0.0}, compile=choice)
    weight, first = "head.fc.weight", session.dump_tensors()
    logits = session.predict(CLIPS[:2])
    session.train_step(micro_batches(), lr=0.0)
    assert np.array_equal(session.dump_tensors()[weight], first[weight])
    session.load_momentum({weight: np.ones_like(first[weight])})
    _, gradients = session.gradients(micro_batches()[0])
    session.train_step(micro_batches(), lr=0.1)
    stepped = first[weight] - 5 * 0.1 * (0.5 + gradients[weight])
    np.testing.assert_allclose(session.dump_tensors()[weight], stepped, rtol=1e-4, atol=1e-6)
    assert not np.allclose(session.predict(CLIPS[:2]), logits)
    session.load_tensors(first)
    np.testing.assert_allclose(session.predict(CLIPS[:2]), logits, rtol=1e-5, atol=1e-7)


def test_smaller_last_batch_fits_the_graph_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize(("choice", "eager_calls"), [(True, 0), (None, compiled.PATIENCE), (False, 20)])
def test_passes_become_graphs_when_that_pays(
    choice: bool | None, eager_calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled.mindspore, "jit", lambda function: lambda: "graph")
    run = compiled.Pass(lambda: "operators", choice)
    results = [run() for _ in range(20)]
    assert results == ["operators"] * eager_calls + ["graph"] * (20 - eager_calls)


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
@pytest.mark.parametrize("k", [3, 5])
def test_deformable_convolution_is_its_definition(size: tuple[int, int], k: int) -> None:
    conv = DeformableConv(3, k)
    x = RNG.standard_normal((2, 3, *size)).astype(np.float32)
    offset = conv.offset(Tensor(x)).asnumpy()
    expected = convolve(x, offset, conv.weight.asnumpy(), conv.bias.asnumpy())
    np.testing.assert_allclose(conv(Tensor(x)).asnumpy(), expected, atol=1e-4)


def test_offsets_at_rest_see_the_slope_to_the_next_pixel_and_none_outside() -> None:
    conv = DeformableConv(1, 3)
    conv.weight.set_data(ops.ones_like(conv.weight))
    for parameter in conv.offset.get_parameters():
        parameter.set_data(ops.zeros_like(parameter))
    x = RNG.standard_normal((1, 1, 5, 6)).astype(np.float32)
    gradient = mindspore.grad(lambda x: conv(x).sum(), None, conv.offset.bias)(Tensor(x))
    np.testing.assert_allclose(gradient.asnumpy(), slopes_at_rest(x[0, 0], 3), atol=1e-5)
