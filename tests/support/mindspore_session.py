"""Tests of the MindSpore backend; `test_mindspore_session.py` runs them in a process of their own."""

from __future__ import annotations

from collections.abc import Sequence

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, ops
from tests.support.deformable_taps import convolve, slopes_at_rest

from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, ParameterPlan
from trishift.backends.mindspore import compiled
from trishift.backends.mindspore.deformable import DeformableConv
from trishift.backends.mindspore.session import Session
from trishift.backends.mindspore.temporal_shift import temporal_shift
from trishift.errors import CheckpointError, DataError, FrameworkError, RecipeError, TrainingError
from trishift.model.initialization import initial_tensors
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

SPEC = ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(div=4))
RNG = np.random.default_rng(5)
CLIPS = RNG.standard_normal((8, 4, 3, 32, 32)).astype(np.float32)
TARGETS = np.arange(8) % 4
DROPOUT = (2 * RNG.integers(0, 2, (8, 4, SPEC.feature_width))).astype(np.float32)


def make_session(spec: ModelSpec = SPEC, seed: int = 0, compile: bool | None = False, **execution: object) -> Session:
    return Session(spec, Execution(compile=compile, **execution), seed)


def norm_names(session: Session) -> list[str]:
    return [info.layer_name for info in session.parameters() if info.layer == "norm" and info.role == "weight"]


def make_plan(session: Session, frozen: Sequence[str] = (), **options: object) -> OptimizationPlan:
    """All tensors but the frozen norms' in three groups: weights, biases, batch norms."""
    plans = {"conv": ParameterPlan(1, 1), "linear": ParameterPlan(5, 1), "norm": ParameterPlan(1, 0)}
    parameters = {
        info.name: ParameterPlan(2, 0) if info.name == "head.fc.bias" else plans[info.layer]
        for info in session.parameters()
        if info.layer_name not in frozen
    }
    return OptimizationPlan(parameters, frozen_norms=frozenset(frozen), **options)


def micro_batches(count: int) -> list[MicroBatch]:
    size = len(CLIPS) // count
    parts = [slice(i * size, (i + 1) * size) for i in range(count)]
    return [MicroBatch(CLIPS[part], TARGETS[part], Draws(DROPOUT[part])) for part in parts]


def trained(steps: int, plan_options: dict | None = None, count: int = 1, **execution: object) -> Session:
    session = make_session(**execution)
    session.prepare_training(make_plan(session, **(plan_options or {})))
    for _ in range(steps):
        session.train_step(micro_batches(count), lr=0.02)
    return session


def assert_close(one: dict, other: dict, **tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], err_msg=name, **tolerance)


# Temporal shift


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize(
    ("shift", "sources"),  # the first channels of frame t come from t + these
    [
        (ShiftSpec(div=4), (1, 1, -1, -1, 0, 0, 0, 0)),
        (ShiftSpec(div=4, order="past_first"), (-1, -1, 1, 1, 0, 0, 0, 0)),
        (ShiftSpec(div=8, direction="unidirectional"), (-1, 0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_shift_moves_channels_along_time(segments, shift, sources):
    from mindspore import Tensor

    x = RNG.standard_normal((2, segments, 8, 2, 3)).astype(np.float32)
    expected = np.zeros_like(x)
    for t in range(segments):
        for channel, source in enumerate(sources):
            if 0 <= t + source < segments:
                expected[:, t, channel] = x[:, t + source, channel]
    shifted = temporal_shift(Tensor(x.reshape(-1, 8, 2, 3)), segments, shift).asnumpy()
    assert np.array_equal(shifted.reshape(x.shape), expected)


# Tensors


@pytest.mark.parametrize("backbone", ["resnet10", "mobilenet_v2", "bn_inception"])
def test_parameter_names_are_the_paths_of_their_cells(backbone):
    spec = ModelSpec(backbone, 3, num_segments=3, head=HeadSpec("multiscale_relation"))
    session = make_session(spec)
    parameters = list(session.network.get_parameters())
    assert len(session.tensor_shapes()) == len(parameters) == len({parameter.name for parameter in parameters})
    for path, cell in session.network.cells_and_names():
        for parameter in cell.get_parameters(expand=False):
            assert parameter.name.rpartition(".")[0] == path


def test_tensors_survive_a_round_trip():
    source, target = make_session(seed=1), make_session(seed=2)
    target.load_tensors(source.dump_tensors())
    assert_close(target.dump_tensors(), source.dump_tensors(), rtol=0)
    source.dump_tensors()["head.fc.weight"][:] = 7  # a copy
    assert not np.any(source.dump_tensors()["head.fc.weight"] == 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("backbone.bn1.bias"), r"backbone.bn1.bias is missing \(1 missing, 0 unknown\)"),
        (lambda t: t.update(extra=np.zeros(1)), r"extra is unknown"),
        (lambda t: t.update({"head.fc.bias": np.zeros(5)}), r"head.fc.bias is \(5,\), expected \(4,\)"),
    ],
)
def test_weights_of_another_network_are_refused(change, message):
    session = make_session()
    tensors, before = session.dump_tensors(), session.dump_tensors()
    tensors["backbone.conv1.weight"] += 1
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        session.load_tensors(tensors)
    assert_close(session.dump_tensors(), before, rtol=0)


def test_initial_weights_depend_on_the_seed_alone():
    session = make_session(seed=3)
    expected = initial_tensors(session.spec, 3)
    assert_close(session.dump_tensors(), expected, rtol=0)


# Training


def test_frozen_norms_and_unplanned_tensors_stay_as_they_are():
    session = make_session()
    frozen = norm_names(session)[1:]
    before = session.dump_tensors()
    session.prepare_training(make_plan(session, frozen))
    session.train_step(micro_batches(1), lr=0.1)
    after = session.dump_tensors()
    for name in before:
        is_frozen = name.rpartition(".")[0] in frozen
        assert np.array_equal(before[name], after[name]) == is_frozen, name
    assert not any(name.rpartition(".")[0] in frozen for name in session.dump_momentum())


def test_norms_learn_again_under_a_plan_that_does_not_freeze_them():
    session = make_session()
    session.prepare_training(make_plan(session, norm_names(session)))
    session.prepare_training(make_plan(session))
    before = session.dump_tensors()
    session.train_step(micro_batches(1), lr=0.1)
    after = session.dump_tensors()
    assert not any(np.array_equal(before[name], after[name]) for name in before)


def test_accumulated_micro_batches_equal_one_batch():
    options = {"frozen": norm_names(make_session()), "clip_norm": 1.0}
    whole, parts = (trained(1, options, count) for count in (1, 2))
    assert_close(parts.dump_tensors(), whole.dump_tensors(), rtol=1e-3, atol=1e-5)


def test_graphs_train_like_single_operators():
    frozen = norm_names(make_session())[1:]
    eager, graph = (trained(2, {"frozen": frozen, "clip_norm": 1.0}, compile=choice) for choice in (False, True))
    assert_close(graph.dump_tensors(), eager.dump_tensors(), rtol=1e-3, atol=1e-5)
    assert_close(graph.dump_momentum(), eager.dump_momentum(), rtol=1e-3, atol=1e-4)
    logits = eager.predict(CLIPS)
    np.testing.assert_allclose(graph.predict(CLIPS), logits, rtol=1e-3, atol=1e-5)
    losses = [session.train_step(micro_batches(1), lr=0.02).loss for session in (graph, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)  # predictions leave the training graph alone


@pytest.mark.parametrize("choice", [False, True])
def test_later_rates_momentum_and_weights_reach_the_graphs(choice):
    session = trained(1, {"momentum": 0.5, "weight_decay": 0.0}, compile=choice)
    weight, first = "head.fc.weight", session.dump_tensors()
    logits = session.predict(CLIPS[:2])
    session.train_step(micro_batches(1), lr=0.0)
    assert np.array_equal(session.dump_tensors()[weight], first[weight])
    session.load_momentum({weight: np.ones_like(first[weight])})
    _, gradients = session.gradients(micro_batches(1)[0])
    session.train_step(micro_batches(1), lr=0.1)
    stepped = first[weight] - 5 * 0.1 * (0.5 + gradients[weight])
    np.testing.assert_allclose(session.dump_tensors()[weight], stepped, rtol=1e-4, atol=1e-6)
    assert not np.allclose(session.predict(CLIPS[:2]), logits)
    session.load_tensors(first)
    np.testing.assert_allclose(session.predict(CLIPS[:2]), logits, rtol=1e-5, atol=1e-7)


def test_resumed_training_is_bit_identical():
    whole, half, resumed = trained(2), trained(1), make_session(seed=9)
    resumed.load_tensors(half.dump_tensors())
    resumed.prepare_training(make_plan(resumed))
    resumed.load_momentum(half.dump_momentum())
    resumed.train_step(micro_batches(1), lr=0.02)
    assert_close(resumed.dump_tensors(), whole.dump_tensors(), rtol=0)
    assert_close(resumed.dump_momentum(), whole.dump_momentum(), rtol=0)


def test_missing_momentum_starts_at_zero_and_foreign_momentum_is_refused():
    session = trained(1)
    name = "head.fc.bias"
    kept = session.dump_momentum()[name]
    session.load_momentum({name: kept})
    momentum = session.dump_momentum()
    assert np.array_equal(momentum.pop(name), kept)
    assert np.any(kept)
    assert not any(array.any() for array in momentum.values())
    for foreign in ({"head.fc.scale": kept}, {name: kept[:2]}):
        with pytest.raises(CheckpointError, match="momentum of head"):
            session.load_momentum(foreign)


def test_training_learns_a_batch():
    session = make_session()
    session.prepare_training(make_plan(session))
    losses = [session.train_step([MicroBatch(CLIPS, TARGETS)], lr=0.05).loss for _ in range(5)]
    assert losses[-1] < 0.5 * losses[0]


def test_targets_may_be_probabilities():
    session = make_session()
    losses = [
        session.gradients(MicroBatch(CLIPS, targets))[0] for targets in (TARGETS, np.eye(4, dtype=np.float32)[TARGETS])
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_mixed_precision_follows_single_precision_and_skips_overflows():
    half, single = trained(1, precision="fp16"), trained(1)
    assert_close(half.dump_tensors(), single.dump_tensors(), rtol=0.05, atol=0.02)
    before, scale = half.dump_tensors(), half._optimizer.loss_scale
    huge = MicroBatch(CLIPS * np.float32(1e5), TARGETS)
    half.train_step([huge], lr=0.02)
    after = half.dump_tensors()
    assert all(np.array_equal(before[name], after[name]) for name in half.dump_momentum())
    assert half._optimizer.loss_scale == scale / 2


def test_training_needs_a_plan():
    with pytest.raises(TrainingError, match="prepare_training"):
        make_session().train_step(micro_batches(1), lr=0.1)


# Prediction


def test_smaller_last_batch_fits_the_graph_of_the_others():
    session, eager = make_session(compile=True), make_session()
    shapes: list[tuple[int, ...]] = []
    run = session._evaluation_pass

    def spy(clips, relations):
        shapes.append(clips.shape)
        return run(clips, relations)

    session._evaluation_pass = spy
    for clips in (CLIPS[:4], CLIPS[4:5]):
        np.testing.assert_allclose(session.predict(clips), eager.predict(clips), rtol=1e-4, atol=1e-6)
    assert shapes == [(4, *CLIPS.shape[1:])] * 2


@pytest.mark.parametrize(("choice", "eager_calls"), [(True, 0), (None, compiled.PATIENCE), (False, 20)])
def test_passes_become_graphs_when_that_pays(choice, eager_calls, monkeypatch):
    monkeypatch.setattr(compiled.mindspore, "jit", lambda function: lambda: "graph")
    run = compiled.Pass(lambda: "operators", choice)
    results = [run() for _ in range(20)]
    assert results == ["operators"] * eager_calls + ["graph"] * (20 - eager_calls)


def test_features_keep_frames_apart():
    session = make_session(ModelSpec("resnet10", 4, num_segments=4, width=4, temporal_pool=True))
    found = session.features(CLIPS[:2], ["layer1", "layer4.0", "pooled", "logits"])
    assert {name: array.shape for name, array in found.items()} == {
        "layer1": (2, 4, 4, 8, 8),
        "layer4.0": (2, 2, 32, 1, 1),
        "pooled": (2, 2, 32),
        "logits": (2, 4),
    }
    np.testing.assert_allclose(found["logits"], session.predict(CLIPS[:2]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found["layer4.0"].mean((3, 4)), found["pooled"], rtol=1e-5, atol=1e-7)
    with pytest.raises(RecipeError, match="layer5"):
        session.features(CLIPS[:2], ["layer5"])


@pytest.mark.parametrize("shape", [(1, 3, 3, 32, 32), (1, 4, 1, 32, 32)])
def test_clips_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="do not fit a model of 4 segments and 3 channels"):
        make_session().predict(np.zeros(shape, np.float32))


def test_sampled_head_refuses_to_guess_its_relations():
    head = HeadSpec("multiscale_relation", relation_width=8, relations="sampled")
    session = make_session(ModelSpec("resnet10", 3, 4, width=2, head=head))
    with pytest.raises(RecipeError, match="drawn by the caller"):
        session.predict(CLIPS[:1])
    tables = [np.array([[0, 1, 2, 3]]), np.array([[0, 1, 3]]), np.array([[0, 1], [2, 3]])]
    assert session.predict(CLIPS[:1], [table.astype(np.int32) for table in tables]).shape == (1, 3)


# Devices


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"device": "gpu"}, r"up to version 2\.3 only; .* set Execution\(device='cpu'\)"),
        ({"device": "ascend"}, r"CANN toolkit.*set Execution\(device='cpu'\)"),
        ({"precision": "bf16"}, "bf16"),
        ({"sync_batch_norm": True}, "sync_batch_norm"),
        ({"distributed": True}, "msrun"),
    ],
)
def test_what_a_cpu_lacks_is_said_in_one_line(execution, message):
    with pytest.raises(FrameworkError, match=message) as caught:
        make_session(**execution)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
@pytest.mark.parametrize("k", [3, 5])
def test_deformable_convolution_is_its_definition(size, k):
    conv = DeformableConv(3, k)
    x = RNG.standard_normal((2, 3, *size)).astype(np.float32)
    offset = conv.offset(Tensor(x)).asnumpy()
    expected = convolve(x, offset, conv.weight.asnumpy(), conv.bias.asnumpy())
    np.testing.assert_allclose(conv(Tensor(x)).asnumpy(), expected, atol=1e-4)


def test_offsets_at_rest_see_the_slope_to_the_next_pixel_and_none_outside():
    conv = DeformableConv(1, 3)
    conv.weight.set_data(ops.ones_like(conv.weight))
    for parameter in conv.offset.get_parameters():
        parameter.set_data(ops.zeros_like(parameter))
    x = RNG.standard_normal((1, 1, 5, 6)).astype(np.float32)
    gradient = mindspore.grad(lambda x: conv(x).sum(), None, conv.offset.bias)(Tensor(x))
    np.testing.assert_allclose(gradient.asnumpy(), slopes_at_rest(x[0, 0], 3), atol=1e-5)
