"""Training in the contract of `Session`, the same for every framework; run with `suite.py`."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from tests.support.sessions import (
    CLIPS,
    DROPOUT,
    RNG,
    TARGETS,
    assert_close,
    make_plan,
    make_session,
    micro_batches,
    norms,
    trained,
)

from trishift.backends.contract import Draws, MicroBatch, OptimizerSpec
from trishift.errors import CheckpointError, DataError, TrainingError
from trishift.model.losses import GuideSpec
from trishift.model.pixels import normalization
from trishift.model.spec import InputSpec

FRAMEWORK = os.environ["TRISHIFT_FRAMEWORK"]
HALF = {"pytorch": ("bf16", "fp16"), "mindspore": ("fp16",), "paddle": ()}[FRAMEWORK]
needs_fp16 = pytest.mark.skipif("fp16" not in HALF, reason="no fp16 on CPUs")


@pytest.mark.parametrize(("nesterov", "clip_norm"), [(False, None), (True, 0.5)])
def test_train_step_is_sgd_with_multipliers(nesterov: bool, clip_norm: float | None) -> None:
    session = make_session()
    plan = make_plan(session, nesterov=nesterov, clip_norm=clip_norm, weight_decay=0.01)
    session.prepare_training(plan)
    velocity = {name: np.zeros(shape) for name, shape in session.tensor_shapes().items() if name in plan.parameters}
    for _ in range(2):
        weights = session.dump_tensors()
        loss, gradients = session.gradients(
            micro_batches()[0]
        )  # statistics change, but gradients do not depend on them
        assert all(np.array_equal(weights[name], session.dump_tensors()[name]) for name in gradients)
        norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in gradients.values()))
        assert norm > 0.5, "clipping has no effect"
        coefficient = 1 if clip_norm is None else clip_norm / (norm + 1e-6)
        result = session.train_step(micro_batches(), lr=0.02)
        for name, factors in plan.parameters.items():
            gradient = coefficient * gradients[name] + 0.01 * factors.decay_mult * weights[name]
            velocity[name] = 0.9 * velocity[name] + gradient
            direction = gradient + 0.9 * velocity[name] if nesterov else velocity[name]
            weights[name] = weights[name] - 0.02 * factors.lr_mult * direction
        after = session.dump_tensors()
        assert_close({n: after[n] for n in velocity}, {n: weights[n] for n in velocity}, rtol=1e-5, atol=1e-6)
        assert result.loss == pytest.approx(loss, rel=1e-6)
        assert np.isnan(result.gradient_norm) if clip_norm is None else result.gradient_norm == pytest.approx(norm)
    momentum = {f"momentum.{name}": array for name, array in velocity.items()}
    assert_close(session.dump_optimizer(), momentum, rtol=1e-3, atol=1e-5)


def test_uint8_clips_are_normalized_on_the_device() -> None:
    pixels, rule = RNG.integers(256, size=CLIPS.shape, dtype=np.uint8), normalization(InputSpec(), 3)
    session = make_session()
    loss, gradients = session.gradients(MicroBatch(pixels, TARGETS, normalization=rule))
    expected, same = session.gradients(MicroBatch(rule(pixels), TARGETS))
    assert loss == pytest.approx(expected, rel=1e-6)
    assert_close(gradients, same, rtol=1e-5, atol=1e-7)
    with pytest.raises(DataError, match="clips of uint8: a normalization is for uint8 clips, which need one"):
        MicroBatch(pixels, TARGETS)


def test_train_step_is_adamw_with_multipliers() -> None:
    session, adamw = make_session(), OptimizerSpec("adamw", betas=(0.8, 0.9), epsilon=1e-4)
    plan = make_plan(session, optimizer=adamw, weight_decay=0.1)
    session.prepare_training(plan)
    mean, square = ({name: np.zeros(1) for name in plan.parameters} for _ in range(2))
    for step in (1, 2):
        weights = session.dump_tensors()
        _, gradients = session.gradients(micro_batches()[0])
        session.train_step(micro_batches(), lr=0.02)
        for name, factors in plan.parameters.items():
            mean[name] = 0.8 * mean[name] + 0.2 * gradients[name]
            square[name] = 0.9 * square[name] + 0.1 * gradients[name] ** 2
            direction = mean[name] / (1 - 0.8**step) / (np.sqrt(square[name] / (1 - 0.9**step)) + 1e-4)
            weights[name] -= 0.02 * factors.lr_mult * (direction + 0.1 * factors.decay_mult * weights[name])
        after = session.dump_tensors()
        assert_close({n: after[n] for n in mean}, {n: weights[n] for n in mean}, rtol=1e-4, atol=1e-5)
    state = session.dump_optimizer()
    assert_close({name: state[f"exp_avg.{name}"] for name in mean}, mean, rtol=1e-3, atol=1e-6)
    assert_close({name: state[f"exp_avg_sq.{name}"] for name in mean}, square, rtol=1e-3, atol=1e-6)
    assert {int(state[f"step.{name}"]) for name in mean} == {2} and len(state) == 3 * len(mean)


def test_frozen_and_unplanned_tensors_do_not_change() -> None:
    session = make_session()
    frozen = norms(session)[1:]
    before = session.dump_tensors()
    session.prepare_training(make_plan(session, frozen))
    session.train_step(micro_batches(), lr=0.1)
    after = session.dump_tensors()
    for name in before:
        assert np.array_equal(before[name], after[name]) == (name.rpartition(".")[0] in frozen), name
    assert not any(name.rpartition(".")[0] in frozen for name in session.dump_optimizer())


def test_frozen_norms_use_their_running_statistics() -> None:
    session = make_session()
    session.prepare_training(make_plan(session, norms(session)))
    logits = session.predict(CLIPS).astype(np.float64)
    expected = (np.log(np.exp(logits).sum(1)) - logits[np.arange(4), TARGETS]).mean()
    assert session.train_step([MicroBatch(CLIPS, TARGETS)], lr=0.0).loss == pytest.approx(expected, rel=1e-5)


def test_teachers_guide_the_loss() -> None:
    session, guide = make_session(), np.random.default_rng(2).dirichlet(np.ones(4), 4).astype(np.float32)
    guide[1] = (1, 0, 0, 0)
    session.prepare_training(make_plan(session, norms(session), guide=GuideSpec(temperature=2, weight=0.75)))
    logits = session.predict(CLIPS).astype(np.float64)
    p, flat = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (logits, logits / 2))
    own = -np.log(p[np.arange(4), TARGETS]).mean()
    surprise = (guide * (np.log(np.maximum(guide, 1e-30)) - np.log(flat))).sum(1).mean()
    batch = MicroBatch(CLIPS, TARGETS, guide=guide)
    loss, gradients = session.gradients(batch)
    assert loss == pytest.approx(0.25 * own + 0.75 * 4 * surprise, rel=1e-4)
    slope = 0.25 * (p - np.eye(4)[TARGETS]) + 0.75 * 2 * (flat - guide)
    np.testing.assert_allclose(gradients["head.fc.bias"], slope.mean(0), rtol=1e-3, atol=1e-5)
    assert session.gradients(replace(batch, guide=None))[0] == pytest.approx(own, rel=1e-4)


def test_both_directions_of_the_divergence_beside_the_whole_loss() -> None:
    session, guide = make_session(), np.random.default_rng(2).dirichlet(np.ones(4), 4).astype(np.float32)
    session.prepare_training(make_plan(session, norms(session), guide=GuideSpec(weight=0.5, symmetric=True)))
    logits = session.predict(CLIPS).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ratio = np.log(guide) - np.log(p)
    loss, gradients = session.gradients(MicroBatch(CLIPS, TARGETS, guide=guide))
    own = -np.log(p[np.arange(4), TARGETS]).mean()
    assert loss == pytest.approx(own + ((guide - p) * ratio).sum(1).mean() / 2, rel=1e-4)
    slope = p - np.eye(4)[TARGETS] + (p - guide - p * (ratio - (p * ratio).sum(1, keepdims=True))) / 2
    np.testing.assert_allclose(gradients["head.fc.bias"], slope.mean(0), rtol=1e-3, atol=1e-5)


def test_training_logits_are_those_of_the_step() -> None:
    session = make_session()
    session.prepare_training(make_plan(session))
    (batch,), before = micro_batches(), session.dump_tensors()
    logits = session.training_logits(batch).astype(np.float64)
    assert all(np.array_equal(array, before[name]) for name, array in session.dump_tensors().items())
    assert np.abs(logits - session.predict(CLIPS)).max() > 0.01
    expected = (np.log(np.exp(logits).sum(1)) - logits[np.arange(4), TARGETS]).mean()
    assert session.train_step([batch], lr=0.0).loss == pytest.approx(expected, rel=1e-5)


def test_stochastic_depth_skips_branches_of_clips() -> None:
    session = make_session()
    session.prepare_training(make_plan(session, norms(session)))  # clips do not depend on each other
    ones = np.ones((4, 4), np.float32)
    factors = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [2, 0, 0.5, 0]], np.float32)
    plain, kept, skipped = (
        session.gradients(MicroBatch(CLIPS, TARGETS, Draws(survival=survival)))[0] for survival in (None, ones, factors)
    )
    last, _ = session.gradients(MicroBatch(CLIPS[3:], TARGETS[3:]))
    changed, gradients = session.gradients(MicroBatch(CLIPS[3:], TARGETS[3:], Draws(survival=factors[3:])))
    assert kept == pytest.approx(plain, rel=1e-6)
    assert 4 * (skipped - plain) == pytest.approx(changed - last, rel=1e-3) and abs(changed - last) > 1e-3
    unused = {name for name, gradient in gradients.items() if not gradient.any()}
    branches = {n for n in gradients if "downsample" not in n and (".layer2." in n or ".layer4." in n)}
    assert unused == branches


def test_new_plan_unfreezes_norms() -> None:
    session = make_session()
    session.prepare_training(make_plan(session, norms(session)))
    session.prepare_training(make_plan(session))
    before = session.dump_tensors()
    session.train_step(micro_batches(), lr=0.1)
    assert not any(np.array_equal(before[name], array) for name, array in session.dump_tensors().items())


def test_accumulated_micro_batches_equal_one_batch() -> None:
    plan = {"frozen": norms(make_session()), "clip_norm": 1.0}
    whole, parts = (trained(2, plan, count) for count in (1, 4))
    assert_close(parts.dump_tensors(), whole.dump_tensors(), rtol=1e-3, atol=1e-5)


def test_accuracy_is_that_of_the_clips_before_the_step() -> None:
    session = make_session()
    session.prepare_training(make_plan(session, norms(session)))  # which compute the same as in prediction
    best = session.predict(CLIPS).argmax(1)
    right = np.array([best[0], best[1], best[2], (best[3] + 1) % 4])
    soft = np.float32(0.7) * np.eye(4, dtype=np.float32)[right] + np.float32(0.075)
    halves = [MicroBatch(CLIPS[half], right[half]) for half in (slice(2), slice(2, 4))]
    assert session.train_step(halves, lr=0.0).accuracy == pytest.approx(0.75)
    assert session.train_step([MicroBatch(CLIPS, soft)], lr=0.0).accuracy == pytest.approx((3 * 0.775 + 0.075) / 4)


def test_micro_batch_weight_scales_loss_and_gradients() -> None:
    session, (batch,) = make_session(), micro_batches()
    (loss, gradients), (half_loss, half) = session.gradients(batch), session.gradients(replace(batch, weight=0.5))
    assert half_loss == pytest.approx(loss / 2, rel=1e-6)
    assert_close(half, {name: gradient / 2 for name, gradient in gradients.items()}, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("rule", ["sgd", "adamw"])
def test_resume_is_exact(rule: str) -> None:
    plan = {"optimizer": OptimizerSpec(rule)}
    whole, half, resumed = trained(3, plan), trained(2, plan), make_session(seed=9)
    resumed.load_tensors(half.dump_tensors())
    resumed.prepare_training(make_plan(resumed, **plan))
    resumed.load_optimizer(half.dump_optimizer())
    resumed.train_step(micro_batches(), lr=0.02)
    assert_close(resumed.dump_tensors(), whole.dump_tensors(), rtol=0)
    assert_close(resumed.dump_optimizer(), whole.dump_optimizer(), rtol=0)


@pytest.mark.parametrize(("rule", "kind"), [("sgd", "momentum"), ("adamw", "exp_avg_sq"), ("adamw", "step")])
def test_optimizer_state_defaults_to_zero_and_rejects_unknown_names(rule: str, kind: str) -> None:
    session, entry = trained(1, {"optimizer": OptimizerSpec(rule)}), f"{kind}.head.fc.weight"
    kept = session.dump_optimizer()[entry]
    session.load_optimizer({entry: kept})
    state = session.dump_optimizer()
    assert np.any(kept) and np.array_equal(state.pop(entry), kept)
    assert not any(array.any() for array in state.values())
    for foreign in ({f"{kind}.head.fc.scale": kept}, {entry: kept[:0]}, {entry: np.stack([kept])}):
        with pytest.raises(CheckpointError, match=f"{kind} of head"):
            session.load_optimizer(foreign)


def test_average_follows_the_weights() -> None:
    session = make_session()
    session.prepare_training(make_plan(session))
    session.start_average()
    expected = session.dump_tensors()
    for _ in range(2):
        session.train_step(micro_batches(), lr=0.1)
        session.update_average(0.75)
        expected = {name: 0.75 * expected[name] + 0.25 * array for name, array in session.dump_tensors().items()}
    assert_close(session.dump_average(), expected, rtol=1e-5, atol=1e-6)
    assert list(session.dump_average()) == list(session.tensor_shapes())
    resumed = make_session(seed=3)
    resumed.start_average(session.dump_average())
    assert_close(resumed.dump_average(), session.dump_average(), rtol=0)
    with pytest.raises(CheckpointError, match="missing"):
        resumed.start_average({"head.fc.weight": expected["head.fc.weight"]})


def test_measured_statistics_are_those_of_the_batches() -> None:
    session = make_session()
    frozen = norms(session)[2:3]
    session.prepare_training(make_plan(session, frozen))
    session.train_step(micro_batches(), lr=0.1)
    before = session.dump_tensors()
    session.measure_statistics(micro_batches(2))
    after = session.dump_tensors()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {n for n in before if ".running_" in n and n.rpartition(".")[0] not in frozen}
    outputs = [np.float64(session.features(batch.clips, ["conv1"])["conv1"]) for batch in micro_batches(2)]
    everything = np.concatenate(outputs)
    mean, variance = (after[f"backbone.bn1.running_{kind}"] for kind in ("mean", "var"))
    np.testing.assert_allclose(mean, everything.mean((0, 1, 3, 4)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance, everything.var((0, 1, 3, 4)), rtol=2e-3)


def test_training_fits_a_batch() -> None:
    session = make_session()
    session.prepare_training(make_plan(session, clip_norm=20.0))
    losses = [session.train_step([MicroBatch(CLIPS, TARGETS)], lr=0.02).loss for _ in range(15)]
    assert losses[-1] < 0.3 < 1.2 < losses[0]
    assert (session.predict(CLIPS).argmax(1) == TARGETS).mean() >= 0.75


def test_class_probabilities_are_targets() -> None:
    session = make_session()
    loss, gradients = session.gradients(MicroBatch(CLIPS, TARGETS))
    same_loss, same = session.gradients(MicroBatch(CLIPS, np.eye(4, dtype=np.float32)[TARGETS]))
    assert same_loss == pytest.approx(loss, rel=1e-6)
    assert_close(same, gradients, rtol=1e-4, atol=1e-6)


def test_training_needs_an_optimizer() -> None:
    with pytest.raises(TrainingError, match="prepare_training"):
        make_session().train_step(micro_batches(), lr=0.1)


# Precision and layout


@pytest.mark.parametrize("precision", HALF)
def test_mixed_precision_trains_close_to_float32(precision: str) -> None:
    reference, mixed = trained(3, {"clip_norm": 20.0}), trained(3, {"clip_norm": 20.0}, precision=precision)
    name = "backbone.conv1.weight"
    weights, expected, start = (each.dump_tensors()[name] for each in (mixed, reference, make_session()))
    assert 0 < np.abs(weights - expected).max() < np.abs(expected - start).max() / 2
    logits, exact = mixed.predict(CLIPS), reference.predict(CLIPS)
    assert logits.dtype == np.float32
    assert 0 < np.abs(logits - exact).max() < 0.2 * np.abs(exact).max()


@needs_fp16
def test_fp16_skips_a_step_on_overflow() -> None:
    session = make_session(precision="fp16")
    session.prepare_training(make_plan(session, clip_norm=20.0))
    before = session.dump_tensors()
    session.train_step([MicroBatch(CLIPS, TARGETS, Draws(DROPOUT * np.float32(1e38)))], lr=0.1)
    after = session.dump_tensors()
    assert all(np.array_equal(before[info.name], after[info.name]) for info in session.parameters())
    session.train_step(micro_batches(), lr=0.1)
    last = session.dump_tensors()["head.fc.weight"]
    assert np.isfinite(last).all() and np.any(last != after["head.fc.weight"])


def test_channels_last_trains_the_same() -> None:
    reference, nhwc = (trained(2, channels_last=chosen) for chosen in (False, True))
    assert_close(nhwc.dump_tensors(), reference.dump_tensors(), rtol=1e-2, atol=1e-4)
