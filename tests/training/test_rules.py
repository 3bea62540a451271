"""Framework-free training rules: schedules, parameter groups and random draws."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from trishift.model.motion import MotionSpec, tdn
from trishift.model.relations import all_relations, evaluation_relations
from trishift.model.spec import HeadSpec, ModelSpec
from trishift.model.stages import stage_names
from trishift.model.tensors import parameters, tensor_table
from trishift.recipe import TrainSpec
from trishift.recipe.options import FreezeSpec
from trishift.training.draws import draw_step, take
from trishift.training.parameter_groups import optimization_plan
from trishift.training.schedule import learning_rate

NON_LOCAL = parameters(ModelSpec("resnet34", num_classes=3, width=8, non_local=True))


def test_step_schedule_counts_milestones() -> None:
    train = TrainSpec(lr=1.0, schedule="step", milestones=(20, 40), epochs=50)
    rates = [learning_rate(train, epoch) for epoch in (0, 19.99, 20, 39.5, 40, 49)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_schedule_matches_the_published_formula() -> None:
    train = TrainSpec(lr=0.02, schedule="cosine", epochs=10)
    assert learning_rate(train, 0) == pytest.approx(0.02)
    assert learning_rate(train, 5) == pytest.approx(0.01)
    assert learning_rate(train, 10) == pytest.approx(0.0, abs=1e-12)


def test_warm_up_is_linear_and_scaling_follows_the_batch() -> None:
    train = TrainSpec(lr=0.01, batch_size=128, lr_batch_size=64, warmup_epochs=2, schedule="step", milestones=())
    assert train.scaled_lr == pytest.approx(0.02)
    assert learning_rate(train, 1) == pytest.approx(0.01)
    assert learning_rate(train, 2) == pytest.approx(0.02)


def test_warm_up_in_steps_and_cosine_floor() -> None:
    train = TrainSpec(lr=1.0, schedule="cosine", lr_floor=0.1, epochs=10, warmup_steps=30)
    assert learning_rate(train, 1, 20) == pytest.approx(learning_rate(train, 1, 1000) * 2 / 3)
    assert learning_rate(train, 5, 20) == pytest.approx(0.55)
    assert learning_rate(train, 10, 20) == pytest.approx(0.1)


def test_layer_decay_slows_early_stages() -> None:
    plan = optimization_plan(NON_LOCAL, TrainSpec(layer_decay=0.5), "rgb").parameters
    names = ("head.fc.weight", "backbone.layer4.0.conv1.weight", "backbone.layer1.0.bn1.bias", "backbone.conv1.weight")
    assert [plan[name].lr_mult for name in names] == [5, 0.5, 1 / 16, 1 / 32]
    assert plan["backbone.conv1.weight"].decay_mult == 1


@pytest.mark.parametrize(
    ("backbone", "stages"),
    [
        ("resnet18", "stem layer1 layer2 layer3 layer4"),
        ("mobilenet_v2", "stem layer1 layer2 layer3 layer4"),
        ("pp_mobilenet_v3", "stem layer1 layer2 layer3 layer4"),
        ("pp_lcnet_v2", "stem layer1 layer2 layer3 layer4"),
        ("bn_inception", "stem inception_3 inception_4 inception_5"),
        ("inception_v3", "stem Mixed_5 Mixed_6 Mixed_7"),
    ],
)
def test_stages_follow_the_network(backbone: str, stages: str) -> None:
    spec = ModelSpec(backbone, num_classes=3)
    assert stage_names(spec) == tuple(stages.split())
    order = [info.stage for info in tensor_table(spec)]
    assert list(dict.fromkeys(order)) == [*stages.split(), "head"]
    assert [name for name, _ in groupby(order)] == [*stages.split(), "head"]


def test_motion_network_has_stages_beside_stem_and_layer1() -> None:
    spec = ModelSpec("resnet50", 3, 8, in_channels=15, width=8, motion=MotionSpec())
    assert stage_names(spec)[:4] == ("stem", "pyramid", "layer1", "motion_layer1")
    spec = replace(spec, motion=tdn(8))
    assert stage_names(spec)[:4] == ("stem", "short_term", "layer1", "motion_layer1")


def test_frozen_stages_wake_up_one_by_one() -> None:
    freeze = FreezeSpec(("stem", "layer1"), (3, 1))
    plans = [optimization_plan(NON_LOCAL, TrainSpec(freeze=freeze), "rgb", epoch) for epoch in range(4)]
    trained = [{name.split(".")[1] for name in plan.parameters if name.startswith("backbone")} for plan in plans]
    later = {"layer2", "layer3", "layer4"}
    assert trained == [later, later | {"layer1"}, later | {"layer1"}, later | {"layer1", "conv1", "bn1"}]
    assert "backbone.bn1" in plans[2].frozen_norms and not plans[3].frozen_norms


@pytest.mark.parametrize(
    ("backbone", "stages", "trained"),
    [
        ("resnet18", "backbone", {"head"}),
        ("resnet18", "early", {"layer3", "layer4", "head"}),
        ("mobilenet_v2", "early", {"layer3", "layer4", "head"}),
        ("bn_inception", "early", {"inception_4", "inception_5", "head"}),
    ],
)
def test_names_stand_for_stages_of_any_backbone(backbone: str, stages: str, trained: set[str]) -> None:
    infos = tensor_table(ModelSpec(backbone, num_classes=3))
    freeze = FreezeSpec((stages,))
    freeze.check_names(ModelSpec(backbone, num_classes=3))
    plan = optimization_plan(infos, TrainSpec(freeze=freeze), "rgb", 99)
    assert {info.stage for info in infos if info.name in plan.parameters} == trained


@pytest.mark.parametrize("partial", [False, True])
def test_parameter_groups_match_the_original(partial: bool) -> None:
    plan = optimization_plan(NON_LOCAL, TrainSpec(partial_bn=partial), "rgb")
    factors = {name: (p.lr_mult, p.decay_mult) for name, p in plan.parameters.items()}
    assert factors["backbone.conv1.weight"] == (1, 1)
    assert factors["backbone.layer1.0.conv1.weight"] == (1, 1)
    assert factors["backbone.bn1.weight"] == (1, 0)
    assert factors["head.fc.weight"] == (5, 1)
    assert factors["head.fc.bias"] == (10, 0)
    assert factors["backbone.layer2.0.non_local.bn.weight"] == (1, 0)  # trained even under partial BN
    assert ("backbone.layer1.0.bn1.weight" in factors) is not partial
    norms = [info.layer_name for info in NON_LOCAL if info.layer == "norm" and info.role == "weight"]
    assert plan.frozen_norms == ({name for name in norms[1:] if ".non_local." not in name} if partial else set())


def test_frozen_bn_freezes_all() -> None:
    plan = optimization_plan(NON_LOCAL, TrainSpec(frozen_bn=True), "rgb")
    assert "backbone.bn1" in plan.frozen_norms
    assert not any(".bn" in name for name in plan.parameters)


def test_flow_stem_and_trn_head_learning_rates() -> None:
    plan = optimization_plan(NON_LOCAL, TrainSpec(head_lr_mult=1), "flow")
    assert plan.parameters["backbone.conv1.weight"].lr_mult == 5
    assert (plan.parameters["head.fc.weight"].lr_mult, plan.parameters["head.fc.bias"].lr_mult) == (1, 2)


def test_draws_depend_only_on_seed_and_iteration() -> None:
    spec = ModelSpec("resnet18", num_classes=3, width=8, head=HeadSpec("multiscale_relation"), dropout=0.5)
    first, again, other = (draw_step(spec, 4, 7, i) for i in (3, 3, 4))
    assert first.dropout is not None and again.dropout is not None and other.dropout is not None
    assert np.array_equal(first.dropout, again.dropout)
    assert not np.array_equal(first.dropout, other.dropout)
    assert all(np.array_equal(a, b) for a, b in zip(first.relations, again.relations, strict=True))
    assert set(np.unique(first.dropout)) == {0.0, 2.0}
    assert first.dropout.shape == (4, 8, 64)
    half = take(first, slice(1, None, 2)).dropout
    assert half is not None and np.array_equal(half, first.dropout[1::2])


def test_stochastic_depth_skips_later_blocks_more_often() -> None:
    spec = ModelSpec("resnet18", num_classes=3, width=8, dropout=0.5)
    plain, deep = draw_step(spec, 4000, 7, 3), draw_step(spec, 4000, 7, 3, 0.4)
    assert plain.dropout is not None and deep.dropout is not None and deep.survival is not None
    assert plain.survival is None and np.array_equal(plain.dropout, deep.dropout)
    assert deep.survival.shape == (4000, 8) and deep.survival.dtype == np.float32
    assert (deep.survival == 0).mean(0) == pytest.approx(np.linspace(0.05, 0.4, 8), abs=0.03)
    assert deep.survival.mean(0) == pytest.approx(np.ones(8), abs=0.05)
    half = take(deep, slice(1, None, 2)).survival
    assert half is not None and np.array_equal(half, deep.survival[1::2])


def test_drawn_relations_are_distinct() -> None:
    spec = ModelSpec("resnet18", num_classes=3, head=HeadSpec("multiscale_relation"))
    for scale, drawn in zip(range(8, 1, -1), draw_step(spec, 1, 0, 0).relations, strict=True):
        members = {tuple(row) for row in all_relations(8, scale)}
        assert {tuple(row) for row in drawn} <= members
        assert len({tuple(row) for row in drawn}) == len(drawn) == min(3, len(members))


def test_expected_relations_weigh_as_much_as_random_draws() -> None:
    for relations in evaluation_relations(HeadSpec("multiscale_relation"), 8):
        count = len(relations.frames)
        assert relations.weight * count == pytest.approx(min(3, count))
