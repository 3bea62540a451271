"""The PyTorch session: names, initial weights, optimizer steps, momentum, precision, features, errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from trishift.backends.contract import Draws, Execution, MicroBatch, OptimizationPlan, ParameterPlan
from trishift.backends.pytorch.session import Session
from trishift.errors import CheckpointError, DataError, FrameworkError, RecipeError, TrainingError
from trishift.model.initialization import initial_tensors
from trishift.model.losses import LossSpec
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

SPEC = ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(div=4))
RNG = np.random.default_rng(5)
CLIPS = RNG.standard_normal((8, 4, 3, 32, 32)).astype(np.float32)
TARGETS = np.arange(8) % 4
DROPOUT = (2 * RNG.integers(0, 2, (8, 4, SPEC.feature_width))).astype(np.float32)


def make_session(spec: ModelSpec = SPEC, seed: int = 0, **execution: object) -> Session:
    return Session(spec, Execution(**execution), seed)


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


# Tensors


@pytest.mark.parametrize("backbone", ["resnet10", "mobilenet_v2", "bn_inception"])
def test_every_tensor_of_the_network_has_one_canonical_name(backbone):
    spec = ModelSpec(backbone, 3, num_segments=3, head=HeadSpec("multiscale_relation"))
    session = make_session(spec)
    state = session.network.state_dict()
    wanted = {name for name in state if not name.endswith("num_batches_tracked")}
    assert len(session.tensor_shapes()) == len(wanted)
    assert sum(np.prod(shape) for shape in session.tensor_shapes().values()) == sum(
        state[name].numel() for name in wanted
    )
    if backbone != "bn_inception":  # whose canonical names are Caffe's, not the module tree's
        assert set(session.tensor_shapes()) == wanted


def test_tensors_survive_a_round_trip_in_any_memory_format():
    source, target = make_session(seed=1), make_session(seed=2, channels_last=True)
    target.load_tensors(source.dump_tensors())
    assert_close(target.dump_tensors(), source.dump_tensors(), rtol=0)
    assert all(array.flags.c_contiguous for array in target.dump_tensors().values())


def test_dumped_tensors_are_copies():
    session = make_session()
    session.dump_tensors()["head.fc.weight"][:] = 7
    assert not np.any(session.dump_tensors()["head.fc.weight"] == 7)


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
    tensors = session.dump_tensors()
    before = session.dump_tensors()
    tensors["backbone.conv1.weight"] += 1
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        session.load_tensors(tensors)
    assert_close(session.dump_tensors(), before, rtol=0)


def test_initial_weights_depend_on_the_seed_alone():
    session = make_session(seed=3)
    expected = initial_tensors(session.spec, 3)
    assert_close(session.dump_tensors(), expected, rtol=0)
    assert not np.array_equal(make_session(seed=4).dump_tensors()["head.fc.weight"], expected["head.fc.weight"])


# Training


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_steps_equal_plain_torch(nesterov, clip_norm):
    smoothing = LossSpec(label_smoothing=0.1)
    session = make_session()
    network = make_session().network
    named = dict(network.named_parameters())
    plan = make_plan(session, loss=smoothing, nesterov=nesterov, clip_norm=clip_norm, weight_decay=0.01)
    session.prepare_training(plan)
    groups = [
        {"params": [named[name]], "lr": 0.02 * part.lr_mult, "weight_decay": 0.01 * part.decay_mult}
        for name, part in plan.parameters.items()
    ]
    optimizer = torch.optim.SGD(groups, lr=0.02, momentum=0.9, nesterov=nesterov)
    network.train()
    for _ in range(3):
        optimizer.zero_grad()
        features = network.backbone(torch.from_numpy(CLIPS).flatten(0, 1)).view(8, 4, -1)
        logits = network.head.fc(features * torch.from_numpy(DROPOUT)).mean(1)
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, torch.from_numpy(TARGETS))
        loss.backward()
        norm = torch.stack([parameter.grad.norm() for parameter in named.values()]).norm()
        if clip_norm is not None:
            assert norm > clip_norm, "the test is void"
            for parameter in named.values():
                parameter.grad.mul_(clip_norm / (norm + 1e-6))
        optimizer.step()
        result = session.train_step(micro_batches(1), lr=0.02)
        assert result.loss == pytest.approx(loss.item(), rel=1e-4)
        assert (
            np.isnan(result.gradient_norm)
            if clip_norm is None
            else result.gradient_norm == pytest.approx(norm.item(), rel=1e-3)
        )
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items() if "num_batches" not in name}
    assert_close(session.dump_tensors(), weights, rtol=1e-3, atol=1e-5)
    momentum = {name: optimizer.state[parameter]["momentum_buffer"].numpy() for name, parameter in named.items()}
    assert_close(session.dump_momentum(), momentum, rtol=1e-3, atol=1e-4)


def test_frozen_norms_and_unplanned_tensors_stay_as_they_are():
    session = make_session()
    frozen = [info.layer_name for info in session.parameters() if info.layer == "norm" and info.role == "weight"][1:]
    before = session.dump_tensors()
    session.prepare_training(make_plan(session, frozen))
    session.train_step(micro_batches(1), lr=0.1)
    after = session.dump_tensors()
    for name in before:
        is_frozen = name.rpartition(".")[0] in frozen
        assert np.array_equal(before[name], after[name]) == is_frozen, name
    assert not any(name.rpartition(".")[0] in frozen for name in session.dump_momentum())


def test_frozen_norms_use_their_running_statistics():
    session = make_session()
    norms = [info.layer_name for info in session.parameters() if info.layer == "norm" and info.role == "weight"]
    session.prepare_training(make_plan(session, norms))
    batch = MicroBatch(CLIPS, TARGETS)
    logits = torch.from_numpy(session.predict(CLIPS))
    expected = nn.functional.cross_entropy(logits, torch.from_numpy(TARGETS)).item()
    assert session.train_step([batch], lr=0.0).loss == pytest.approx(expected, rel=1e-5)


def test_accumulated_micro_batches_equal_one_batch():
    norms = [info.layer_name for info in make_session().parameters() if info.layer == "norm" and info.role == "weight"]
    whole, parts = (trained(2, {"frozen": norms, "clip_norm": 1.0}, count) for count in (1, 4))
    assert_close(parts.dump_tensors(), whole.dump_tensors(), rtol=1e-3, atol=1e-5)


def test_gradients_are_those_of_the_step():
    session = make_session()
    plan = make_plan(session, momentum=0.0, weight_decay=0.0)
    session.prepare_training(plan)
    before = session.dump_tensors()
    loss, gradients = session.gradients(micro_batches(1)[0])
    assert_close({n: session.dump_tensors()[n] for n in gradients}, {n: before[n] for n in gradients}, rtol=0)
    assert session.train_step(micro_batches(1), lr=0.1).loss == pytest.approx(loss, rel=1e-6)
    after = session.dump_tensors()
    stepped = {name: (before[name] - after[name]) / 0.1 / plan.parameters[name].lr_mult for name in gradients}
    assert_close(stepped, gradients, rtol=1e-2, atol=1e-4)


def test_resumed_training_is_bit_identical():
    whole = trained(4)
    half = trained(2)
    resumed = make_session(seed=9)
    resumed.load_tensors(half.dump_tensors())
    resumed.prepare_training(make_plan(resumed))
    resumed.load_momentum(half.dump_momentum())
    for _ in range(2):
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


@pytest.mark.parametrize("targets", [TARGETS, np.eye(4, dtype=np.float32)[TARGETS]], ids=["indices", "probabilities"])
def test_training_learns_a_batch(targets):
    session = make_session()
    session.prepare_training(make_plan(session, clip_norm=20.0))
    losses = [session.train_step([MicroBatch(CLIPS, targets)], lr=0.02).loss for _ in range(15)]
    assert losses[-1] < 0.3 < 1.2 < losses[0]
    assert (session.predict(CLIPS).argmax(1) == TARGETS).mean() > 0.8


def test_training_needs_an_optimizer():
    with pytest.raises(TrainingError, match="prepare_training"):
        make_session().train_step(micro_batches(1), lr=0.1)


# Precision and layout


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains_close_to_float32(precision):
    reference, mixed = trained(3, {"clip_norm": 20.0}), trained(3, {"clip_norm": 20.0}, precision=precision)
    weights, expected = mixed.dump_tensors(), reference.dump_tensors()
    assert all(array.dtype == np.float32 for array in weights.values())
    start = make_session().dump_tensors()["backbone.conv1.weight"]
    moved = np.abs(expected["backbone.conv1.weight"] - start).max()
    assert 0 < np.abs(weights["backbone.conv1.weight"] - expected["backbone.conv1.weight"]).max() < moved / 2
    logits, exact = mixed.predict(CLIPS), reference.predict(CLIPS)
    assert logits.dtype == np.float32
    assert 0 < np.abs(logits - exact).max() < 0.2 * np.abs(exact).max()


def test_fp16_leaves_out_a_step_whose_gradients_overflow():
    session = make_session(precision="fp16")
    session.prepare_training(make_plan(session, clip_norm=20.0))
    before = session.dump_tensors()
    session.train_step([MicroBatch(CLIPS, TARGETS, Draws(DROPOUT * np.float32(1e30)))], lr=0.1)
    after = session.dump_tensors()
    assert all(np.array_equal(before[info.name], after[info.name]) for info in session.parameters())
    session.train_step(micro_batches(1), lr=0.1)
    assert np.isfinite(session.dump_tensors()["head.fc.weight"]).all()


def test_channels_last_trains_the_same():
    reference, nhwc = trained(2), trained(2, channels_last=True)
    assert_close(nhwc.dump_tensors(), reference.dump_tensors(), rtol=1e-2, atol=1e-4)


# Prediction


def test_prediction_changes_nothing_and_treats_clips_alone():
    session = make_session()
    before = session.dump_tensors()
    logits = session.predict(CLIPS)
    assert logits.shape == (8, 4)
    np.testing.assert_allclose(session.predict(CLIPS[3:4])[0], logits[3], rtol=1e-4, atol=1e-6)
    assert_close(session.dump_tensors(), before, rtol=0)


def test_features_of_named_layers_keep_clips_and_frames_apart():
    spec = ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(), temporal_pool=True)
    session = make_session(spec)
    features = session.features(CLIPS[:2], ["layer1", "layer2", "pooled", "logits"])
    assert [features[name].shape for name in ("layer1", "layer2")] == [(2, 4, 4, 8, 8), (2, 2, 8, 4, 4)]
    assert features["pooled"].shape == (2, 2, 32)
    assert np.array_equal(features["logits"], session.predict(CLIPS[:2]))
    tensors = session.dump_tensors()
    logits = (features["pooled"] @ tensors["head.fc.weight"].T + tensors["head.fc.bias"]).mean(1)
    np.testing.assert_allclose(logits, features["logits"], rtol=1e-4, atol=1e-6)


def test_unknown_layers_are_named():
    with pytest.raises(RecipeError, match="'layer9' is unknown; among others there are conv1, bn1, layer1"):
        make_session().features(CLIPS[:1], ["layer9"])


@pytest.mark.parametrize("shape", [(1, 8, 3, 32, 32), (1, 4, 1, 32, 32)])
def test_clips_of_another_model_are_refused(shape):
    with pytest.raises(DataError, match="do not fit a model of 4 segments and 3 channels"):
        make_session().predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"device": "ascend"}, r"device ascend: .* Execution\(device='cpu'\) or Execution\(device='gpu'\)"),
        ({"sync_batch_norm": True}, "sync_batch_norm: .* on GPUs only"),
        ({"distributed": True}, "start with torchrun"),
    ],
)
def test_impossible_executions_say_what_to_do(execution, message, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(FrameworkError, match=message):
        make_session(**execution)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_absent_gpu_says_what_to_do():
    with pytest.raises(FrameworkError, match=r"finds no CUDA device; .* set Execution\(device='cpu'\)"):
        make_session(device="gpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_gpu_trains_like_the_cpu(precision):
    reference = trained(2, {"clip_norm": 20.0})
    gpu = trained(2, {"clip_norm": 20.0}, device="gpu", precision=precision, channels_last=True)
    tolerance = {"rtol": 1e-2, "atol": 1e-3} if precision == "fp32" else {"rtol": 0.2, "atol": 0.05}
    assert_close(gpu.dump_tensors(), reference.dump_tensors(), **tolerance)
