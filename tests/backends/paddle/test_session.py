"""The Paddle session: names, optimizer steps, momentum, loss scale, compiled prediction, features, errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import paddle
import pytest

from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, ParameterPlan
from trishift.backends.paddle.optimizer import LossScale, Optimizer
from trishift.backends.paddle.session import Session
from trishift.backends.paddle.tensors import parameters
from trishift.errors import CheckpointError, DataError, FrameworkError, RecipeError, TrainingError
from trishift.model.initialization import initial_tensors
from trishift.model.relations import all_relations, draw_relations
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec
from trishift.model.tensors import Tensors

SPEC = ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(div=4))
RNG = np.random.default_rng(5)
CLIPS = RNG.standard_normal((4, 4, 3, 32, 32)).astype(np.float32)
TARGETS = np.arange(4) % 4
DROPOUT = (2 * RNG.integers(0, 2, (4, 4, SPEC.feature_width))).astype(np.float32)


def make_session(spec: ModelSpec = SPEC, seed: int = 0, **execution: object) -> Session:
    return Session(spec, Execution(**execution), seed)


def norms(session: Session) -> list[str]:
    return [info.layer_name for info in session.parameters() if info.layer == "norm" and info.role == "weight"]


def make_plan(session: Session, frozen: Sequence[str] = (), **options: object) -> OptimizationPlan:
    plans = {"conv": ParameterPlan(1, 1), "linear": ParameterPlan(5, 0.5), "norm": ParameterPlan(1, 0)}
    trained = {info.name: plans[info.layer] for info in session.parameters() if info.layer_name not in frozen}
    return OptimizationPlan(trained, frozen_norms=frozenset(frozen), **options)


def micro_batches(count: int = 1) -> list[MicroBatch]:
    size = len(CLIPS) // count
    parts = [slice(i * size, (i + 1) * size) for i in range(count)]
    return [MicroBatch(CLIPS[part], TARGETS[part], Draws(DROPOUT[part])) for part in parts]


def trained(steps: int, frozen: Sequence[str] = (), count: int = 1, **options: object) -> Session:
    session = make_session()
    session.prepare_training(make_plan(session, frozen, **options))
    for _ in range(steps):
        session.train_step(micro_batches(count), lr=0.02)
    return session


def assert_close(one: Tensors, other: Tensors, **tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], err_msg=name, **tolerance)


# Tensors


def test_initial_weights_depend_on_the_seed_alone():
    session = make_session(seed=3)
    expected = initial_tensors(session.spec, 3)
    assert_close(session.dump_tensors(), expected, rtol=0)
    assert all(array.flags.c_contiguous for array in session.dump_tensors().values())


def test_linear_matrices_are_out_by_in():
    session = make_session()
    assert session.tensor_shapes()["head.fc.weight"] == (4, 32)
    pooled = session.features(CLIPS, ["pooled"])["pooled"]
    tensors = session.dump_tensors()
    logits = (pooled @ tensors["head.fc.weight"].T + tensors["head.fc.bias"]).mean(1)
    np.testing.assert_allclose(session.predict(CLIPS), logits, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("backbone.bn1.bias"), r"backbone.bn1.bias is missing \(1 missing, 0 unknown\)"),
        (lambda t: t.update(extra=np.zeros(1)), r"extra is unknown"),
        (lambda t: t.update({"head.fc.weight": np.zeros((32, 4))}), r"head.fc.weight is \(32, 4\), expected \(4, 32\)"),
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


# Training


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_update_is_sgd_with_factors_for_each_tensor(nesterov, clip_norm):
    session = make_session()
    plan = make_plan(session, nesterov=nesterov, clip_norm=clip_norm, weight_decay=0.01)
    session.prepare_training(plan)
    velocity = {name: np.zeros(shape) for name, shape in session.tensor_shapes().items() if name in plan.parameters}
    for _ in range(2):
        _, gradients = session.gradients(micro_batches()[0])  # statistics change, gradients do not read them
        weights = session.dump_tensors()
        norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in gradients.values()))
        assert norm > 0.5, "clipping is void"
        coefficient = 1 if clip_norm is None else clip_norm / (norm + 1e-6)
        result = session.train_step(micro_batches(), lr=0.02)
        for name, factors in plan.parameters.items():
            gradient = coefficient * gradients[name] + 0.01 * factors.decay_mult * weights[name]
            velocity[name] = 0.9 * velocity[name] + gradient
            direction = gradient + 0.9 * velocity[name] if nesterov else velocity[name]
            weights[name] = weights[name] - 0.02 * factors.lr_mult * direction
        after = session.dump_tensors()
        assert_close({n: after[n] for n in velocity}, {n: weights[n] for n in velocity}, rtol=1e-5, atol=1e-6)
        assert np.isnan(result.gradient_norm) if clip_norm is None else result.gradient_norm == pytest.approx(norm)
    assert_close(session.dump_momentum(), velocity, rtol=1e-3, atol=1e-5)


def test_frozen_norms_and_unplanned_tensors_stay_as_they_are():
    session = make_session()
    frozen = norms(session)[1:]
    before = session.dump_tensors()
    session.prepare_training(make_plan(session, frozen))
    session.train_step(micro_batches(), lr=0.1)
    after = session.dump_tensors()
    for name in before:
        assert np.array_equal(before[name], after[name]) == (name.rpartition(".")[0] in frozen), name


def test_accumulated_micro_batches_equal_one_batch():
    frozen = norms(make_session())
    whole, parts = (trained(2, frozen, count, clip_norm=1.0) for count in (1, 4))
    assert_close(parts.dump_tensors(), whole.dump_tensors(), rtol=1e-3, atol=1e-5)


def test_resumed_training_is_bit_identical():
    whole, half = trained(3), trained(2)
    resumed = make_session(seed=9)
    resumed.load_tensors(half.dump_tensors())
    resumed.prepare_training(make_plan(resumed))
    resumed.load_momentum(half.dump_momentum())
    resumed.train_step(micro_batches(), lr=0.02)
    assert_close(resumed.dump_tensors(), whole.dump_tensors(), rtol=0)
    assert_close(resumed.dump_momentum(), whole.dump_momentum(), rtol=0)


def test_missing_momentum_starts_at_zero_and_foreign_momentum_is_refused():
    session = trained(1)
    name = "head.fc.weight"
    kept = session.dump_momentum()[name]
    session.load_momentum({name: kept})
    momentum = session.dump_momentum()
    assert np.any(kept) and np.array_equal(momentum.pop(name), kept)
    assert not any(array.any() for array in momentum.values())
    for foreign in ({"head.fc.scale": kept}, {name: kept.T}):
        with pytest.raises(CheckpointError, match="momentum of head"):
            session.load_momentum(foreign)


def test_loss_scale_changes_no_gradient_and_leaves_out_overflows():
    session = make_session()
    plan = make_plan(session, clip_norm=0.5)
    trained = parameters(session.network)
    optimizer = Optimizer(trained, plan, loss_scaling=True, ranks=session._ranks)
    steps = []
    for factor in (1.0, float("inf")):
        before = session.dump_tensors()["head.fc.weight"]
        optimizer.zero_gradients()
        optimizer.backward((trained["head.fc.weight"] * factor).sum())
        assert optimizer.step(lr=0.1) == pytest.approx(np.sqrt(4 * 32) * factor)
        steps.append(session.dump_tensors()["head.fc.weight"] - before)
    np.testing.assert_allclose(steps[0], -0.1 * 5 * 0.5 / np.sqrt(4 * 32), rtol=0.02)
    assert not steps[1].any()
    assert optimizer.loss_scale.factor == 65536 / 2


def test_loss_scale_grows_after_a_calm():
    scale = LossScale(enabled=True, factor=4, patience=2)
    for overflow, expected in [(False, 4), (False, 8), (True, 4), (False, 4), (False, 8)]:
        scale.update(overflow)
        assert scale.factor == expected
    unscaled = LossScale(enabled=False)
    unscaled.update(True)
    assert unscaled.factor == 1


def test_training_learns_a_batch_of_probabilities():
    session = make_session()
    session.prepare_training(make_plan(session, clip_norm=20.0))
    targets = np.eye(4, dtype=np.float32)[TARGETS]
    losses = [session.train_step([MicroBatch(CLIPS, targets)], lr=0.02).loss for _ in range(15)]
    assert losses[-1] < 0.3 < 1.2 < losses[0]


def test_training_needs_an_optimizer():
    with pytest.raises(TrainingError, match="prepare_training"):
        make_session().train_step(micro_batches(), lr=0.1)


# Prediction


def test_compiled_prediction_follows_the_weights():
    session = make_session(compile=True)
    plain = make_session()
    for step in range(2):
        np.testing.assert_allclose(session.predict(CLIPS), plain.predict(CLIPS), rtol=1e-3, atol=1e-6)
        if step == 0:
            for each in (session, plain):
                each.prepare_training(make_plan(each))
                each.train_step(micro_batches(), lr=0.1)
    session.load_tensors(make_session(seed=8).dump_tensors())
    np.testing.assert_allclose(session.predict(CLIPS), make_session(seed=8).predict(CLIPS), rtol=1e-3, atol=1e-6)


def test_compiled_program_serves_every_batch_and_image_size(capfd):
    session, plain = make_session(compile=True), make_session()
    session.predict(CLIPS)
    program = session._program
    for clips in (CLIPS[:3], CLIPS[:1, :, :, :24, :28]):
        np.testing.assert_allclose(session.predict(clips), plain.predict(clips), rtol=1e-3, atol=1e-6)
    assert session._program is program
    assert not capfd.readouterr().out  # standard output is the user's


@pytest.mark.parametrize("compiled", [False, True])
def test_drawn_relations_count_instead_of_the_expected_ones(compiled):
    spec = ModelSpec("resnet10", 4, 4, width=4, head=HeadSpec("multiscale_relation", 8, relations_per_scale=1))
    session = make_session(spec, compile=compiled)
    draws = draw_relations(spec.head, 4, np.random.default_rng(0))
    assert np.abs(session.predict(CLIPS, draws) - session.predict(CLIPS)).max() > 1e-4
    everything = [all_relations(4, scale) for scale in (4, 3, 2)]
    plain_sum = make_session(replace(spec, head=replace(spec.head, relations="all")), compile=compiled)
    np.testing.assert_allclose(session.predict(CLIPS, everything), plain_sum.predict(CLIPS), rtol=1e-4, atol=1e-6)


def test_sampled_relations_must_be_given():
    spec = ModelSpec("resnet10", 4, 4, width=4, head=HeadSpec("relation", 8, relations="sampled"))
    with pytest.raises(RecipeError, match="'sampled' needs relations drawn by the caller"):
        make_session(spec).predict(CLIPS)


def test_features_of_named_layers_keep_clips_and_frames_apart():
    spec = ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(), temporal_pool=True)
    session = make_session(spec)
    features = session.features(CLIPS[:2], ["layer1", "layer2", "pooled", "logits"])
    assert [features[name].shape for name in ("layer1", "layer2")] == [(2, 4, 4, 8, 8), (2, 2, 8, 4, 4)]
    assert features["pooled"].shape == (2, 2, 32)
    assert np.array_equal(features["logits"], session.predict(CLIPS[:2]))
    with pytest.raises(RecipeError, match="'layer9' is unknown; among others there are conv1, bn1, layer1"):
        session.features(CLIPS[:1], ["layer9"])


@pytest.mark.parametrize("shape", [(1, 8, 3, 32, 32), (1, 4, 1, 32, 32)])
def test_clips_of_another_model_are_refused(shape):
    with pytest.raises(DataError, match="do not fit a model of 4 segments and 3 channels"):
        make_session().predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"device": "ascend"}, r"device ascend: .* Execution\(device='cpu'\) or Execution\(device='gpu'\)"),
        ({"precision": "bf16"}, r"precision bf16: Paddle has it on GPUs only; set Execution\(precision='fp32'\)"),
        ({"sync_batch_norm": True}, "sync_batch_norm: .* on GPUs only"),
        ({"distributed": True}, r"start with python -m paddle\.distributed\.launch"),
    ],
)
def test_impossible_executions_say_what_to_do(execution, message, monkeypatch):
    monkeypatch.delenv("PADDLE_TRAINER_ID", raising=False)
    with pytest.raises(FrameworkError, match=message):
        make_session(**execution)


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="this build may find a GPU")
def test_absent_gpu_says_what_to_do():
    with pytest.raises(FrameworkError, match=r"finds no CUDA device; .* set Execution\(device='cpu'\)"):
        make_session(device="gpu")
