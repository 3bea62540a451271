"""Contract of `Session`, the same for every framework; run in separate processes by `test_session.py` of each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support import small_zoo
from tests.support.command_line import command
from tests.support.file_server import serving
from tests.support.sessions import (
    CLIPS,
    DROPOUT,
    TARGETS,
    assert_close,
    make_plan,
    make_session,
    micro_batches,
    norms,
    trained,
)
from tests.support.tiny import write_recipe

from trishift.backends.contract import Draws, MicroBatch, OptimizerSpec
from trishift.backends.limits import UNSUPPORTED, Unsupported
from trishift.errors import CheckpointError, DataError, FrameworkError, RecipeError, TrainingError
from trishift.model.initialization import initial_tensors
from trishift.model.losses import GuideSpec
from trishift.model.relations import all_relations, draw_relations
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec
from trishift.training.probe import fit_probe

FRAMEWORK = os.environ["TRISHIFT_FRAMEWORK"]
SMALL = {"backbone": "resnet18", "width": 8, "num_segments": 2, "shift": {}}  # the model of small_zoo.TSM
LIMITS = [entry for entry in UNSUPPORTED if entry.framework == FRAMEWORK]
NO_CUDA = [("gpu", "finds no CUDA device")]
ABSENT = {
    "pytorch": NO_CUDA,
    "paddle": NO_CUDA,
    "mindspore": [("gpu", r"up to version 2\.3 only"), ("ascend", "CANN toolkit")],
}[FRAMEWORK]
HALF = {"pytorch": ("bf16", "fp16"), "mindspore": ("fp16",), "paddle": ()}[FRAMEWORK]
LAUNCHERS = {"pytorch": "torchrun", "mindspore": "msrun", "paddle": r"python -m paddle\.distributed\.launch"}
needs_fp16 = pytest.mark.skipif("fp16" not in HALF, reason="no fp16 on CPUs")


# Tensors


@pytest.mark.parametrize("backbone", ["resnet10", "mobilenet_v2", "bn_inception"])
def test_tensors_have_canonical_names_and_shapes(backbone: str) -> None:
    session = make_session(ModelSpec(backbone, 3, num_segments=3, head=HeadSpec("multiscale_relation")))
    tensors = session.dump_tensors()
    assert {name: array.shape for name, array in tensors.items()} == session.tensor_shapes()
    assert list(tensors) == list(session.tensor_shapes())
    assert all(array.flags.c_contiguous and array.dtype == np.float32 for array in tensors.values())


def test_initial_weights_depend_on_the_seed_alone() -> None:
    session = make_session(seed=3)
    assert_close(session.dump_tensors(), initial_tensors(session.spec, 3), rtol=0)
    assert np.any(make_session(seed=4).dump_tensors()["head.fc.weight"] != session.dump_tensors()["head.fc.weight"])


def test_tensor_round_trip_makes_copies() -> None:
    source, target = make_session(seed=1), make_session(seed=2, channels_last=True)
    target.load_tensors(source.dump_tensors())
    assert_close(target.dump_tensors(), source.dump_tensors(), rtol=0)
    source.dump_tensors()["head.fc.weight"][:] = 7
    assert not np.any(source.dump_tensors()["head.fc.weight"] == 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("backbone.bn1.bias"), r"backbone.bn1.bias is missing \(1 missing, 0 unknown\)"),
        (lambda t: t.update(extra=np.zeros(1)), r"extra is unknown"),
        (lambda t: t.update({"head.fc.bias": np.zeros(5)}), r"head.fc.bias is \(5,\), expected \(4,\)"),
        (lambda t: t.update({"head.fc.weight": np.zeros((32, 4))}), r"head.fc.weight is \(32, 4\), expected \(4, 32\)"),
    ],
)
def test_rejects_weights_of_another_network(change: Callable[[dict[str, np.ndarray]], object], message: str) -> None:
    session = make_session()
    tensors, before = session.dump_tensors(), session.dump_tensors()
    tensors["backbone.conv1.weight"] += 1
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        session.load_tensors(tensors)
    assert_close(session.dump_tensors(), before, rtol=0)


def test_probe_head_computes_the_regression() -> None:
    session = make_session()
    features = session.features(CLIPS, ["pooled"])["pooled"].mean(axis=1)
    probe = fit_probe(features, TARGETS, 4, ["a", "b", "c", "d"])
    session.load_tensors({**session.dump_tensors(), **probe.tensors()})
    np.testing.assert_allclose(session.predict(CLIPS), probe.logits(features), rtol=0, atol=1e-4)


# Training


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
    reference, nhwc = trained(2), trained(2, channels_last=True)
    assert_close(nhwc.dump_tensors(), reference.dump_tensors(), rtol=1e-2, atol=1e-4)


# Prediction


def test_prediction_is_pure_and_per_clip() -> None:
    session = make_session()
    before, logits = session.dump_tensors(), session.predict(CLIPS)
    assert logits.shape == (4, 4)
    np.testing.assert_allclose(session.predict(CLIPS[3:])[0], logits[3], rtol=1e-4, atol=1e-6)
    assert_close(session.dump_tensors(), before, rtol=0)


def test_features_have_clip_and_frame_axes() -> None:
    session = make_session(ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(), temporal_pool=True))
    features = session.features(CLIPS[:2], ["layer1", "layer2", "layer4.0", "pooled", "logits"])
    shapes = [features[name].shape for name in ("layer1", "layer2", "layer4.0", "pooled")]
    assert shapes == [(2, 4, 4, 8, 8), (2, 2, 8, 4, 4), (2, 2, 32, 1, 1), (2, 2, 32)]
    np.testing.assert_allclose(features["layer4.0"].mean((3, 4)), features["pooled"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(features["logits"], session.predict(CLIPS[:2]), rtol=1e-5, atol=1e-7)
    tensors = session.dump_tensors()
    logits = (features["pooled"] @ tensors["head.fc.weight"].T + tensors["head.fc.bias"]).mean(1)
    np.testing.assert_allclose(logits, features["logits"], rtol=1e-4, atol=1e-6)
    with pytest.raises(RecipeError, match=r"'layer9' is unknown; known layers include conv1, bn1, .*layer1"):
        session.features(CLIPS[:1], ["layer9"])


def test_drawn_relations_replace_the_expected_ones() -> None:
    spec = ModelSpec("resnet10", 4, 4, width=4, head=HeadSpec("multiscale_relation", 8, relations_per_scale=1))
    session = make_session(spec)
    draws = draw_relations(spec.head, 4, np.random.default_rng(0))
    assert np.abs(session.predict(CLIPS, draws) - session.predict(CLIPS)).max() > 1e-4
    everything = [all_relations(4, scale) for scale in (4, 3, 2)]
    plain_sum = make_session(replace(spec, head=replace(spec.head, relations="all")))
    np.testing.assert_allclose(session.predict(CLIPS, everything), plain_sum.predict(CLIPS), rtol=1e-4, atol=1e-6)
    sampled = make_session(replace(spec, head=replace(spec.head, relations="sampled")))
    with pytest.raises(RecipeError, match="'sampled' needs relations drawn by the caller"):
        sampled.predict(CLIPS)
    np.testing.assert_allclose(sampled.predict(CLIPS, everything), plain_sum.predict(CLIPS), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 3, 32, 32), (1, 4, 1, 32, 32)])
def test_rejects_clips_of_another_model(shape: tuple[int, ...]) -> None:
    session, clips = make_session(), np.zeros(shape, np.float32)
    for use in (session.predict, lambda clips: session.gradients(MicroBatch(clips, TARGETS[:1]))):
        with pytest.raises(DataError, match="do not fit a model of 4 segments and 3 channels"):
            use(clips)


# Devices


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_unsupported_execution_names_a_remedy(limit: Unsupported) -> None:
    with pytest.raises(FrameworkError, match=rf"{limit.reason}; set Execution\(") as caught:
        make_session(**{"device": limit.device, limit.setting: limit.value})
    assert "\n" not in str(caught.value)


def test_ranks_need_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RANK", "MS_ROLE", "PADDLE_TRAINER_ID"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(FrameworkError, match=f"start with {LAUNCHERS[FRAMEWORK]}"):
        make_session(distributed=True)


@pytest.mark.parametrize(("device", "reason"), ABSENT)
def test_missing_device_names_a_remedy(device: str, reason: str) -> None:
    try:
        make_session(device=device)
    except FrameworkError as error:
        assert re.search(rf"{reason}.* set Execution\(device='cpu'\)$", str(error))
    else:
        pytest.skip(f"there is a device {device}")


# Published weights


def test_published_names_replace_files(gestures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty home folder, infer downloads; train, convert and export make no request."""
    recipe = write_recipe(tmp_path / "recipe.yaml", gestures, model=SMALL, train={"new_head": "auto"})
    name, suffix = ("--checkpoint", small_zoo.TSM), {"pytorch": "pth", "mindspore": "ckpt", "paddle": "pdparams"}
    form = {"pytorch": "torch", "mindspore": "mindir", "paddle": "paddle"}[FRAMEWORK]
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "home"))
    start, run = f"train.initial_weights={small_zoo.TSM}", tmp_path / "run"
    with serving() as server:
        server.files |= small_zoo.write(tmp_path)
        small_zoo.serve(server, monkeypatch)
        clip = next(path for path in gestures.rglob("*.*") if path.suffix in (".mp4", ".avi"))
        assert command("infer", *name, "--framework", FRAMEWORK, clip) == 0
        assert len(server.requests) == 2  # a dead address, and the file
        monkeypatch.setenv("TRISHIFT_OFFLINE", "1")
        assert command("train", "--config", recipe, "--framework", FRAMEWORK, "--output", run, start) == 0
        target = tmp_path / f"tsm.{suffix[FRAMEWORK]}"
        assert command("convert", small_zoo.TSM, target) == 0 and target.is_file()
        assert command("export", *name, "--format", form, "--output", tmp_path / "out") == 0
        assert len(server.requests) == 2
    assert (run / "best.safetensors").is_file()
